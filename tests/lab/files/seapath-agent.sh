#!/bin/sh
# ocf:seapath:VirtualDomain, as SEAPATH has it, out of heartbeat's agent of the same name and what SEAPATH changes in it.
#
# With seapath=true the domain XML is the metadata "xml" of the image system_NAME, NAME being the file's name up to its first
# dot; the file config is only a copy, written at each start. Left out: an orderly stop is given up at once when virsh needs
# more than a second to ask for it, which happens on a busy test machine for no reason; and save_config_on_stop.
: "${OCF_ROOT:=/usr/lib/ocf}"
: "${OCF_RESKEY_seapath=false}"
parameter='<parameter name="seapath" unique="0" required="0"><longdesc lang="en">Take the domain XML from the metadata of the RBD image.</longdesc><shortdesc lang="en">SEAPATH cluster</shortdesc><content type="boolean" default="false"/></parameter>'

# without its last line, which runs it; three of its functions under other names, so that they can be added to
eval "$(sed -e '/^ocf_rarun /d' -e 's/^VirtualDomain_\(start\|validate_all\|getconfig\)() {/heartbeat_\1() {/' \
  -e "s|^</parameters>|$parameter\n&|" -e 's/ undefine \$DOMAIN_NAME/ undefine --nvram $DOMAIN_NAME/' \
  -e 's|meta_timeout/1000) -5 |meta_timeout/1000) -17 |' "$OCF_ROOT/resource.d/heartbeat/VirtualDomain")"

restore_config() {
  if ocf_is_true "$OCF_RESKEY_seapath" && rbd info "system_$DOMAIN_NAME" > /dev/null 2>&1; then
    rbd image-meta get "system_$DOMAIN_NAME" xml > "$OCF_RESKEY_config"
  fi
}

VirtualDomain_start() {
  VirtualDomain_status || restore_config
  heartbeat_start
}

VirtualDomain_validate_all() {
  [ -r "$OCF_RESKEY_config" ] || restore_config
  heartbeat_validate_all
}

VirtualDomain_getconfig() {
  heartbeat_getconfig
  if ocf_is_true "$OCF_RESKEY_seapath"; then
    DOMAIN_NAME=$(basename "$OCF_RESKEY_config" | cut -d . -f 1)
    EMULATOR_STATE="$HA_RSCTMP/VirtualDomain-$DOMAIN_NAME-emu.state"
  fi
}

ocf_rarun "$@"
