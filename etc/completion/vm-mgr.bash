# Completion of vm-mgr for bash: eval "$(vm-mgr completion bash)", or a copy in ~/.local/share/bash-completion/completions/vm-mgr.
# The program itself knows what there is; its words are taken as they are, compgen -W would run what is in them.
_vm_mgr() {
  mapfile -t COMPREPLY < <(vm-mgr completion bash "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null)
  if [ "${COMPREPLY[0]-}" = :files ]; then
    COMPREPLY=()
    compopt -o default
  fi
}
complete -F _vm_mgr vm-mgr
