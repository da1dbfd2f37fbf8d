//! Shell scripts that offer names too: the scripts of `clap_complete`, with a few lines that ask
//! the program.
//!
//! bash and zsh call the program by the typed word, so the completions are that program's own.
//! A script calls the function of `clap_complete` only if the program offers no name.

use clap_complete::Shell;

const BASH: &str = r#"
_osnl_with_names() {
    local name quoted
    COMPREPLY=()
    while IFS= read -r name; do
        printf -v quoted %q "$name"
        COMPREPLY+=("$quoted")
    done < <("${COMP_WORDS[0]}" completions --names "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        _osnl "$@"
    fi
}
complete -F _osnl_with_names -o bashdefault -o default osnl
"#;

const ZSH: &str = r#"
    local -a osnl_names
    osnl_names=(${(f)"$("${words[1]}" completions --names "${(@)words[1,CURRENT]}" 2>/dev/null)"})
    if (( $#osnl_names )); then
        compadd -a osnl_names
        return
    fi
"#;

/// Appended to fish's script. An option's value has its own line, which applies only after that
/// option.
const FISH: &str = r#"
function __osnl_names
    set -l last (commandline -ct)
    osnl completions --names (commandline -opc) "$last" 2>/dev/null
end
complete -c osnl -f -a '(__osnl_names)'
for option in action id listener matched rule to
    complete -c osnl -n "string match -q -- --$option (commandline -opc)[-1]" -l $option -x -a '(__osnl_names)'
end
"#;

pub(super) fn asking(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{BASH}"),
        Shell::Zsh => script.replacen("\n_osnl() {\n", &format!("\n_osnl() {{{ZSH}"), 1),
        Shell::Fish => format!("{script}{FISH}"),
        _ => script.to_owned(),
    }
}
