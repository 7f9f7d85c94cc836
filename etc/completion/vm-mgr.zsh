#compdef vm-mgr
# Completion of vm-mgr for zsh: eval "$(vm-mgr completion zsh)" after compinit, or a copy named _vm-mgr in a folder of $fpath.
_vm-mgr() {
  local -a found
  found=("${(@f)$(vm-mgr completion zsh "${(@)words[2,CURRENT]}" 2> /dev/null)}")
  if [[ $found[1] == :files ]]; then
    _files
  elif [[ -n $found[1] ]]; then
    _describe vm-mgr found
  fi
}
if [[ $funcstack[1] == _vm-mgr ]]; then
  _vm-mgr
else
  compdef _vm-mgr vm-mgr
fi
