# Completion of vm-mgr for fish: vm-mgr completion fish | source, or a copy in ~/.config/fish/completions.
function __vm_mgr_complete
    set -l words (commandline --tokenize --cut-at-cursor --current-process)
    set -l found (command vm-mgr completion fish $words[2..] "$(commandline --current-token --cut-at-cursor)" 2> /dev/null)
    if test "$found" = :files
        __fish_complete_path (commandline --current-token)
    else
        string collect -- $found
    end
end
complete --command vm-mgr --no-files --arguments '(__vm_mgr_complete)'
