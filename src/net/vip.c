/*
 * vip.c: RTM_NEWADDR and RTM_DELADDR, gratuitous ARP (RFC 5227), unsolicited neighbour advertisement (RFC
 * 4861).
 */
#include "net/vip.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_US 100000 /* ports and other addresses wait meanwhile */
#define HOP_LIMIT 255    /* what RFC 4861 demands of an advertisement */
#define MAC_LEN   6

typedef struct Request {
    struct nlmsghdr head;
    struct ifaddrmsg body;
    char attributes[128];
    size_t used; /* of attributes; not sent */
} Request;

static size_t address_len(const Vip *vip)
{
    return vip->family == AF_INET ? 4 : 16;
}

static void add_attribute(Request *request, unsigned short type, const void *data, size_t len)
{
    struct rtattr attribute = {.rta_type = type, .rta_len = (unsigned short) RTA_LENGTH(len)};
    char *at = request->attributes + request->used;

    memcpy(at, &attribute, sizeof attribute);
    memcpy(at + sizeof attribute, data, len);
    request->used += RTA_ALIGN(attribute.rta_len);
    request->head.nlmsg_len = (uint32_t) (offsetof(Request, attributes) + request->used);
}

static bool find_device(const Vip *vip, unsigned *ret_index, Err *err)
{
    *ret_index = if_nametoindex(vip->device);
    return *ret_index != 0 ||
           err_set(err, ERR_CONFIG, "there is no network device %s here: ip link lists them", vip->device);
}

static Request make_request(const Vip *vip, unsigned index, unsigned short type, unsigned short flags)
{
    Request request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
                 .nlmsg_type = type,
                 .nlmsg_flags = (unsigned short) (NLM_F_REQUEST | NLM_F_ACK | flags)},
        .body = {.ifa_family = vip->family, .ifa_prefixlen = vip->prefix, .ifa_index = index},
    };

    add_attribute(&request, IFA_LOCAL, vip->byte, address_len(vip));
    add_attribute(&request, IFA_ADDRESS, vip->byte, address_len(vip));
    return request;
}

/* Sends it and waits for the kernel's answer: 0, an errno, or -1 if there was none. */
static int ask_kernel(const Request *request)
{
    struct timeval limit = {.tv_usec = ANSWER_US};
    char buffer[4096];
    const struct nlmsghdr *head = (const struct nlmsghdr *) (void *) buffer;
    int number = -1;

    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (send(fd, request, request->head.nlmsg_len, 0) < 0)
        number = errno;
    else if (recv(fd, buffer, sizeof buffer, 0) >= (ssize_t) NLMSG_LENGTH(sizeof(struct nlmsgerr)) &&
             head->nlmsg_type == NLMSG_ERROR)
        number = -((const struct nlmsgerr *) NLMSG_DATA(head))->error;
    close(fd);
    return number;
}

static bool kernel_error(const Vip *vip, const char *what, int number, Err *err)
{
    if (number == EPERM)
        return err_set(err, ERR_REFUSED,
                       "cannot %s %s: CAP_NET_ADMIN is missing; give it to the unit (AmbientCapabilities)",
                       what, vip->text);
    if (number < 0)
        return err_set(err, ERR_TIMEOUT, "cannot %s %s: the kernel does not answer", what, vip->text);
    return err_set_errno(err, ERR_NET, number, "cannot %s %s on %s", what, vip->text, vip->device);
}

bool vip_add(const Vip *vip, uint32_t lifetime_s, Err *err)
{
    struct ifa_cacheinfo lifetime = {.ifa_prefered = lifetime_s, .ifa_valid = lifetime_s};
    uint32_t flags = IFA_F_NODAD;
    unsigned index;

    if (!find_device(vip, &index, err))
        return false;
    Request request = make_request(vip, index, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
    add_attribute(&request, IFA_CACHEINFO, &lifetime, sizeof lifetime);
    if (vip->family == AF_INET6)
        add_attribute(&request, IFA_FLAGS, &flags, sizeof flags);
    int number = ask_kernel(&request);
    return number == 0 || kernel_error(vip, "add", number, err);
}

bool vip_remove(const Vip *vip, bool *ret_removed, Err *err)
{
    unsigned index;

    *ret_removed = false;
    if (!find_device(vip, &index, err))
        return false;
    Request request = make_request(vip, index, RTM_DELADDR, 0);
    int number = ask_kernel(&request);
    *ret_removed = number == 0;
    return number == 0 || number == EADDRNOTAVAIL || kernel_error(vip, "remove", number, err);
}

static bool find_mac(int fd, const Vip *vip, uint8_t *ret_mac, Err *err)
{
    struct ifreq request = {0};

    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", vip->device);
    if (ioctl(fd, SIOCGIFHWADDR, &request) != 0)
        return err_set_errno(err, ERR_NET, errno, "cannot read the hardware address of %s", vip->device);
    if (request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
        return err_set(err, ERR_NET, "%s is no Ethernet device: there is nobody to announce %s to",
                       vip->device, vip->text);
    memcpy(ret_mac, request.ifr_hwaddr.sa_data, MAC_LEN);
    return true;
}

static bool socket_error(const Vip *vip, int number, Err *err)
{
    if (number == EPERM || number == EACCES)
        return err_set(
            err, ERR_REFUSED,
            "cannot announce %s: CAP_NET_RAW is missing; give it to the unit (AmbientCapabilities)",
            vip->text);
    return err_set_errno(err, ERR_NET, number, "cannot announce %s on %s", vip->text, vip->device);
}

typedef struct ArpPacket {
    struct arphdr head;
    uint8_t sender_mac[MAC_LEN];
    uint8_t sender[4];
    uint8_t target_mac[MAC_LEN];
    uint8_t target[4];
} __attribute__((packed)) ArpPacket;

/* As a request and as a reply: there are devices that heed only one of them. */
static bool announce_arp(const Vip *vip, unsigned index, Err *err)
{
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_protocol = htons(ETH_P_ARP),
                             .sll_ifindex = (int) index,
                             .sll_halen = MAC_LEN,
                             .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
    ArpPacket packet = {
        .head = {.ar_hrd = htons(ARPHRD_ETHER), .ar_pro = htons(ETH_P_IP), .ar_hln = MAC_LEN, .ar_pln = 4}};
    static const uint16_t kinds[] = {ARPOP_REQUEST, ARPOP_REPLY};
    bool ok = true;

    int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return socket_error(vip, errno, err);
    ok = find_mac(fd, vip, packet.sender_mac, err);
    memcpy(packet.sender, vip->byte, 4);
    memcpy(packet.target, vip->byte, 4);
    for (int i = 0; ok && i < 2; i++) {
        packet.head.ar_op = htons(kinds[i]);
        if (kinds[i] == ARPOP_REPLY)
            memcpy(packet.target_mac, packet.sender_mac, MAC_LEN);
        ok = sendto(fd, &packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *) &to, sizeof to) >= 0 ||
             socket_error(vip, errno, err);
    }
    close(fd);
    return ok;
}

typedef struct Advertisement {
    struct nd_neighbor_advert head;
    struct nd_opt_hdr option;
    uint8_t mac[MAC_LEN];
} Advertisement;

static bool announce_neighbour(const Vip *vip, unsigned index, Err *err)
{
    struct sockaddr_in6 from = {.sin6_family = AF_INET6, .sin6_scope_id = index},
                        to = {.sin6_family = AF_INET6, .sin6_scope_id = index};
    Advertisement packet = {
        .head = {.nd_na_hdr = {.icmp6_type = ND_NEIGHBOR_ADVERT},
                 .nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE},
        .option = {.nd_opt_type = ND_OPT_TARGET_LINKADDR, .nd_opt_len = 1},
    };
    int hops = HOP_LIMIT, device = (int) index;

    int fd = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMPV6); /* the kernel adds the checksum */
    if (fd < 0)
        return socket_error(vip, errno, err);
    inet_pton(AF_INET6, "ff02::1", &to.sin6_addr);
    memcpy(&from.sin6_addr, vip->byte, 16);
    memcpy(&packet.head.nd_na_target, vip->byte, 16);
    bool ok = find_mac(fd, vip, packet.mac, err);
    if (ok && (setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) != 0 ||
               setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &device, sizeof device) != 0 ||
               bind(fd, (struct sockaddr *) &from, sizeof from) != 0 ||
               sendto(fd, &packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *) &to, sizeof to) < 0))
        ok = socket_error(vip, errno, err);
    close(fd);
    return ok;
}

bool vip_announce(const Vip *vip, Err *err)
{
    unsigned index;

    if (!find_device(vip, &index, err))
        return false;
    return vip->family == AF_INET ? announce_arp(vip, index, err) : announce_neighbour(vip, index, err);
}
