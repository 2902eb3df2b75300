# bash completion of pgvigil: verbs, options and the members of the configuration.
# Everything comes from the program itself ("help --completion"), so that this file need not know any of it.

_pgvigil()
{
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
    local verb=${COMP_WORDS[1]} config=() tables verbs options members i
    COMPREPLY=()

    # "--to=p" arrives as three words.
    if [[ $cur == "=" ]]; then
        cur=
    elif [[ $prev == "=" ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == --config ]]; then
            [[ ${COMP_WORDS[i + 1]} == "=" ]] && config=(--config "${COMP_WORDS[i + 2]}") ||
                config=(--config "${COMP_WORDS[i + 1]}")
        fi
    done

    tables=$("${COMP_WORDS[0]}" help --completion "${config[@]}" 2> /dev/null) || return
    verbs=$(awk '$1 != "members" { print $1 }' <<< "$tables")
    members=$(awk '$1 == "members" { $1 = ""; print }' <<< "$tables")
    options=$(awk -v verb="$verb" '$1 == verb { $1 = ""; print }' <<< "$tables")

    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "$verbs --help --version" -- "$cur"))
        return
    fi
    case $prev in
        --config | --state)
            COMPREPLY=($(compgen -f -- "$cur"))
            return
            ;;
        --to | --member | --node)
            COMPREPLY=($(compgen -W "$members" -- "$cur"))
            return
            ;;
        --for | --timeout | --reason | --limit | --operation)
            return
            ;;
    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$cur"))
        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
        return
    fi
    case $verb in
        restart | reload | rejoin | clone) COMPREPLY=($(compgen -W "$members" -- "$cur")) ;;
        member)
            ((COMP_CWORD == 2)) && COMPREPLY=($(compgen -W "add remove" -- "$cur")) ||
                COMPREPLY=($(compgen -W "$members" -- "$cur"))
            ;;
        help) COMPREPLY=($(compgen -W "$verbs" -- "$cur")) ;;
        config) ((COMP_CWORD == 2)) && COMPREPLY=($(compgen -W "check show explain reference convert" -- "$cur")) ;;
    esac
}

complete -F _pgvigil pgvigil
