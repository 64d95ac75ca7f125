# shellcheck shell=sh disable=SC2154 # variables of record.sh
# The proposals of a search: each knows all before it. Their list is written under the gate's lock.

check_proposal() {
  listed=$(cat -- "$gate/proposals" 2> /dev/null)
  if [ -z "$listed" ] && [ -n "$(find_proposals)" ]; then # the list was lost
    replace "$gate/proposals" "$(find_proposals)" || refuse "cannot write $gate/proposals"
    stop 97 "other trials came before"
  fi
  check_parameters
  [ -n "$proposed" ] || [ "$(printf '%s' "${listed:+$listed$newline}" | wc -l)" -eq "$proposals" ] ||
    stop 97 "another trial came before"
}

check_parameters() { # set `proposed` to those that are this trial's already, and stop if they are others
  proposed=
  [ "$its_run" != "$run" ] || proposed=$(parameters_of "$(cat -- "$combination" 2> /dev/null)")
  [ -z "$proposed" ] || [ "$proposed" = "$(parameters_of "$combination_json")" ] ||
    stop 97 "other parameters were proposed here"
}

parameters_of() { # TEXT: of combination.json, if it is whole
  case $1 in *"$newline}") printf '%s\n' "$1" | sed -n '/^  "parameters": {/,/^  }/p' ;; esac
}

find_proposals() { # print the run directories with proposals of this Dag run; in a subshell, as it reads their records
  for place in "${run_dir%/*}"/*; do
    [ -f "$place/$combination_name" ] || continue
    read_record "$place/$record_name"
    [ "$its_run" != "$run" ] || printf '%s\n' "$place"
  done
}

is_listed() {
  case $newline$listed$newline in *"$newline$run_dir$newline"*) ;; *) return 1 ;; esac
}

list_proposal() {
  is_listed || replace "$gate/proposals" "${listed:+$listed$newline}$run_dir" || refuse "cannot write $gate/proposals"
  to_disk "$gate/proposals"
}
