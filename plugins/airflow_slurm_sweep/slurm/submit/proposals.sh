# shellcheck shell=sh disable=SC2154 # variables of record.sh
# The proposals of a search: each knows all before it. Their list is written under the gate's lock.

check_proposal() {
  listed=$(cat -- "$gate/proposals" 2> /dev/null)
  if [ "$its_run" = "$run" ] && [ -f "$combination" ]; then
    [ "$(cat -- "$parameters" 2> /dev/null)" = "$parameters_json" ] || stop 97 "other parameters were proposed here"
  elif ! is_listed; then
    [ "$(printf '%s' "${listed:+$listed$newline}" | wc -l)" -eq "$proposals" ] || stop 97 "another trial came before"
  fi
}

is_listed() {
  case $newline$listed$newline in *"$newline$run_dir$newline"*) ;; *) return 1 ;; esac
}

list_proposal() {
  is_listed || replace "$gate/proposals" "${listed:+$listed$newline}$run_dir" || refuse "cannot write $gate/proposals"
}
