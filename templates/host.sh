# host.sh - what Aviary runs on a host, as `sh -c` of one SSH connection
#
# Needs a POSIX shell, tar, coreutils (or busybox) and /proc. Comments and indents are left out of
# what is sent. Arguments:
#   NONCE ask ROOT NAME EPOCH          EPOCH 0: no fence
#   NONCE compare ROOT NAME
#   NONCE run ROOT SECONDS ARGUMENT...
#   NONCE put ROOT FACTS KEEP
#   NONCE step ROOT FACTS STEP-WORDS
# FACTS are NAME SECONDS CLIENT RELEASE COMMIT ROLLOUT STAGE ACTION EPOCH, STEP-WORDS are SECONDS
# STEP BACKUP ARGUMENT...
# stdout: lines "NONCE WORD TEXT". stderr: what the command says, and what went wrong before it.
# stdin: nothing for ask and run; for compare the wanted files, as below; for step "go" after our line "ready"; for put lists of lines, each
# ended by a line ".":
#   wanted files as sha256sum prints them
# and after our line "ready" the order "put", or "known" if the release must be there already, and
#   files to copy from current
#   "MODE FILE" of folders, and of files that do not come with the archive
#   names of releases to keep
#   activate, as words of a shell, each line behind "="
#   STEP-WORDS of a restore before it, likewise, or nothing
# then "go", and the other files as a tar stream to its end.
#
# Nobody sees less than a whole release under its name, and `current` names a whole one at any
# moment. The lock is a symlink whose text names the processes that hold it, this one and activate:
# PID.START-PID.START@BOOT. It is made in one step, and it is free when all of them are gone.
set -uf
umask 077
nonce=$1
what=$2
root=$3
shift 3
own=$root/.aviary
releases=$root/releases
nl='
'
PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin
trap : HUP PIPE INT TERM

say() {
	printf '%s %s\n' "$nonce" "$*"
}

# The end, with nothing touched: KIND and a sentence.
fail() {
	say fail "$@"
	exit 1
}

# Lines of stdin up to ".", without "=" before them if $1 says so.
list() {
	while IFS= read -r line && [ "$line" != . ]; do
		[ -z "$1" ] || line=${line#=}
		printf '%s\n' "$line"
	done
}

# The same into `text`. Only long lists cost a process: to append to a variable copies it.
take_list() {
	text= lines=0
	while IFS= read -r line && [ "$line" != . ]; do
		[ -z "$1" ] || line=${line#=}
		text=${text:+$text$nl}$line
		lines=$((lines + 1))
		[ "$lines" -lt 100 ] || {
			line=$(list "$1")
			text=$text${line:+$nl$line}
			return
		}
	done
}

# ---- what is needed ------------------------------------------------------------------------------

probe() {
	lacks=
	for tool in "$@"; do
		command -v "$tool" >/dev/null 2>&1 || lacks="$lacks $tool"
	done
	[ -r /proc/self/stat ] || lacks="$lacks /proc"
	# where a state was written, it has served
	[ -e "$own/state" ] || case $(mv -T /proc/no/such /proc/no/file 2>&1) in
	*option* | *Usage*) lacks="$lacks mv-T" ;;
	esac
	[ -z "$lacks" ] || fail lacks "$lacks"
}

probe_root() {
	at=$root
	while [ -n "$at" ] && [ ! -e "$at" ] && [ ! -L "$at" ]; do
		at=${at%/*}
	done
	at=${at:-/}
	[ -d "$at" ] || fail root "'$at' is not a folder"
	[ -x "$at" ] || fail root "'$at' cannot be entered"
	case $what in ask | run | compare) return ;; esac
	[ -w "$at" ] || fail root "'$at' cannot be written"
}

# ---- processes and the lock ----------------------------------------------------------------------

# Start of process $1 in ticks since boot, in `start`; fails if it is gone, or a zombie.
started() {
	IFS= read -r stat_line 2>/dev/null <"/proc/$1/stat" || return 1
	# shellcheck disable=SC2086 # words are fields; the name before may hold anything
	set -- ${stat_line##*) }
	case $1 in Z | X) return 1 ;; esac
	start=${20}
}

# Does a process of this lock's text live?
holds() {
	[ "${1#*@}" = "$boot" ] || return 1
	held=${1%@*}
	while [ -n "$held" ]; do
		process=${held%%-*}
		case $held in *-*) held=${held#*-} ;; *) held= ;; esac
		started "${process%%.*}" && [ "$start" = "${process#*.}" ] && return 0
	done
	return 1
}

# Only a dead holder's lock is taken away: whoever took it meanwhile gets it back.
drop_dead() {
	mv -T "$own/lock" "$own/dead.$$" 2>/dev/null || return 0
	found=$(readlink "$own/dead.$$")
	[ "$found" = "$1" ] || ln -s "$found" "$own/lock"
	rm -f "$own/dead.$$"
}

# An activation that outlived its own deadline.
end_holder() {
	for signal in TERM KILL; do
		held=${1%@*}
		while [ -n "$held" ]; do
			process=${held%%-*}
			case $held in *-*) held=${held#*-} ;; *) held= ;; esac
			if started "${process%%.*}" && [ "$start" = "${process#*.}" ]; then
				kill "-$signal" "${process%%.*}"
				[ -n "$held" ] || kill "-$signal" "-${process%%.*}"
			fi
		done
		for _ in 1 2 3 4 5; do
			holds "$1" || return 0
			say waiting
			sleep 1
		done
	done
	fail lock "the activation in process ${1%%.*} cannot be ended"
}

take_lock() {
	waited=0 tries=0
	until ln -s "$me@$boot" "$own/lock" 2>/dev/null; do
		if found=$(readlink "$own/lock" 2>/dev/null); then
			if ! holds "$found"; then
				drop_dead "$found"
			elif [ "$waited" -ge "$1" ]; then
				end_holder "$found"
			else
				say waiting
				sleep 1
				waited=$((waited + 1))
			fi
		else
			tries=$((tries + 1))
			[ ! -e "$own/lock" ] || fail lock "'$own/lock' is no lock of this driver"
			[ "$tries" -lt 9 ] || fail lock "'$own/lock' cannot be made"
		fi
	done
}

give_lock() {
	case $(readlink "$own/lock" 2>/dev/null) in
	"$me"[-@]*) rm -f "$own/lock" ;;
	esac
}

# ---- state ---------------------------------------------------------------------------------------

read_state() {
	state=
	[ ! -e "$own/state" ] || state=$(head -c 4097 "$own/state" 2>/dev/null)
}

# A leader that only asked leaves its epoch in a file of its own: an activation of somebody else may
# be writing the state.
read_fence() {
	fence=0
	[ ! -e "$own/epoch" ] || IFS= read -r fence <"$own/epoch" || fence=
	case $fence in
	'' | *[!0-9]* | ???????????????????*) fail state "'$own/epoch' has no number in it" ;;
	esac
	[ "$fence" -le "$epoch" ] || fail epoch "$fence"
}

# Of `state`, into `theirs`. Under the lock it must have been read there.
check_epoch() {
	read_fence
	theirs=0
	[ -e "$own/state" ] || return 0
	theirs=
	while read -r key value _; do
		[ "$key" != epoch: ] || theirs=$value
	done <<-END
	$state
	END
	case $theirs in
	'') fail state "no 'epoch' in it" ;;
	*[!0-9]* | ???????????????????*) fail state "'epoch' is not a number" ;;
	*) [ "$theirs" -le "$epoch" ] || fail epoch "$theirs" ;;
	esac
}

write_state() {
	{
		printf 'release: %s\ncommit: %s\n' "$release" "$commit" &&
			printf 'rollout: %s\nepoch: %s\nphase: %s\n' "$rollout" "$epoch" "$1" &&
			printf 'updated: %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" &&
			{ [ -z "$backup" ] || printf 'restore: %s\n' "$backup"; }
	} >"$own/state.new" && to_disk "$own/state.new" && mv -T "$own/state.new" "$own/state"
}

# Has this rollout activated the release already? So it is when somebody asked while activate ran,
# and it has ended since.
was_done() {
	[ -z "$restore" ] && [ -z "$staged" ] || return 1
	for line in "release: $release" "rollout: $rollout" 'phase: active'; do
		case $nl$state$nl in *"$nl$line$nl"*) ;; *) return 1 ;; esac
	done
	[ "$(readlink "$root/current" 2>/dev/null)" = "releases/$name" ]
}

# From now on lower epochs are refused here. A host without folders of ours has nobody to refuse.
put_fence() {
	[ -d "$own/" ] || return 0
	read_state
	check_epoch
	[ "$theirs" -lt "$epoch" ] && [ "$fence" -lt "$epoch" ] || return 0
	{
		printf '%s\n' "$epoch" >"$own/epoch.$$" && to_disk "$own/epoch.$$" &&
			mv -T "$own/epoch.$$" "$own/epoch"
	} 2>/dev/null || fail stage "its '$own/epoch' cannot be written"
	say fenced
}

to_disk() {
	sync "$1" 2>/dev/null || sync
}

tell() {
	if [ -e "$own/state" ]; then
		[ -r "$own/state" ] || fail root "'$own/state' cannot be read"
		say state
		read_state
		while IFS= read -r line; do
			say line "$line"
		done <<-END
		$state
		END
	fi
	if [ -e "$own/epoch" ] && IFS= read -r found <"$own/epoch"; then
		say epoch "$found"
	fi
	if [ -L "$root/current" ]; then
		found=$(readlink "$root/current")
		say current "${found#releases/}"
	elif [ -e "$root/current" ]; then
		say no-link
	fi
	if [ -L "$own/lock" ] && found=$(readlink "$own/lock" 2>/dev/null) && holds "$found"; then
		say locked
	fi
	[ -z "$name" ] || [ ! -d "$releases/$name" ] || say has
}

# ---- releases ------------------------------------------------------------------------------------

# Does folder $1 hold every wanted file?
is_whole() {
	[ -d "$1" ] || return 1
	[ -n "$sums" ] || return 0
	(cd "$1" && LC_ALL=C sha256sum -c >/dev/null 2>&1) <<-END
	$sums
	END
}

tell_same() {
	[ -d "$root/current/" ] || return
	(cd "$root/current" && LC_ALL=C sha256sum -c 2>/dev/null) <<-END |
	$sums
	END
		while IFS= read -r line; do
			case $line in *': OK') say same "${line%: OK}" ;; esac
		done
}

set_modes() {
	[ -n "$modes" ] || return 0
	(
		cd "$1" || exit
		mode=
		set --
		while IFS= read -r line; do
			if [ "${line%% *}" != "$mode" ] || [ $# -ge 200 ]; then
				[ $# = 0 ] || chmod "$mode" "$@" || exit
				set --
				mode=${line%% *}
			fi
			set -- "$@" "${line#* }"
		done
		[ $# = 0 ] || chmod "$mode" "$@"
	) <<-END
	$modes
	END
}

# What is in current already. Not by links: what changes a file there must not change it here.
copy_same() {
	printf '%s\n' "$copy" | (
		cd "$root/current" || exit
		set --
		while IFS= read -r line; do
			set -- "$@" "$line"
			[ $# -lt 200 ] || {
				tar -chf - "$@" | tar -xof - -C "$new"
				set --
			}
		done
		[ $# = 0 ] || tar -chf - "$@" | tar -xof - -C "$new"
	)
}

# Into a folder of its own, without the lock: a slow connection keeps nobody waiting.
stage() {
	mkdir "$new" || fail stage 'the new release cannot be made'
	staged=yes
	[ -z "$copy" ] || copy_same
	# the modes of the archive: busybox takes the umask off them, with -p too, for who is not root
	umask 0
	tar -xpof - -C "$new" || unstage stage 'the release did not arrive whole'
	umask 077
	is_whole "$new" || unstage digest 'a file of the release is not what was sent'
	set_modes "$new" || unstage stage 'modes cannot be set'
	chmod 0755 "$new"
	sync -f "$new" 2>/dev/null || sync
}

unstage() {
	rm -rf "$new"
	fail "$@"
}

switch() {
	[ ! -L "$root/current.new" ] || rm -f "$root/current.new"
	ln -s "releases/$1" "$root/current.new" && mv -T "$root/current.new" "$root/current"
}

# What has the name is damaged. While it is current, `current` names the staged one meanwhile.
replace() {
	old=$releases/.new-old-$name
	if [ "$(readlink "$root/current")" = "releases/$name" ]; then
		cp -Rp "$new" "$new-2" && switch ".new-$me" || return
		new=$new-2
	fi
	rm -rf "$old" && mv -T "$releases/$name" "$old" && mv -T "$new" "$releases/$name"
}

install() {
	if is_whole "$releases/$name"; then
		set_modes "$releases/$name"
		touch "$releases/$name" # the order in which prune() goes
	elif [ -e "$releases/$name" ]; then
		replace
	else
		mv -T "$new" "$releases/$name"
	fi
}

# What killed ones left; what a living one fills stays.
tidy() {
	set +f
	set -- "$releases"/.new-*
	set -f
	for each in "$@"; do
		[ -e "$each" ] && [ "$each" != "$new" ] || continue
		process=${each##*/.new-}
		holds "${process%%-*}@$boot" && continue
		[ "$(readlink "$root/current" 2>/dev/null)" = "releases/${each##*/}" ] || rm -rf "$each"
	done
}

prune() {
	set +f
	set -- "$releases"/????????????????
	set -f
	[ $# -gt "$keep" ] || return 0
	count=1 # the one that was just activated; by time it may be second: busybox counts seconds
	# shellcheck disable=SC2012 # as above
	ls -t "$releases" | while IFS= read -r each; do
		[ ${#each} = 16 ] || continue
		[ "$each" != "$name" ] || continue
		case $each in *[!0-9a-f]*) continue ;; esac
		count=$((count + 1))
		[ "$count" -gt "$keep" ] || continue
		case "
$keeps
" in *"
$each
"*) continue ;; esac
		mv -T "$releases/$each" "$releases/.new-old-$each" &&
			rm -rf "$releases/.new-old-$each"
	done
}

# ---- a command -----------------------------------------------------------------------------------

# Whole seconds since boot, in `now`: no process is started for it.
uptime() {
	IFS=' .' read -r now _ </proc/uptime
}

# Runs "$@" in current; its process is `child`, its end `status`. What it leaves in the background
# may go on writing when nobody listens any more: the relay swallows it.
run() {
	pipe=${TMPDIR:-/tmp}/aviary.$nonce
	[ ! -d "$own" ] || [ ! -w "$own" ] || pipe=$own/output.$$
	status=unstarted
	mkfifo "$pipe" || return
	# Both ways first: then no open waits for the other end. In busybox's shell the end of any
	# child cuts such a wait short, and the script with it.
	exec 5<>"$pipe"
	exec 6<"$pipe"
	exec 4>"$pipe"
	exec 5>&-
	rm -f "$pipe"
	{
		cat >&2 2>/dev/null || cat >/dev/null
	} <&6 4>&- 6<&- &
	exec 6<&-
	uptime # before it starts: a late end is one after so many seconds at least
	began=$now
	(
		trap - HUP PIPE INT TERM
		if [ "$what" != run ]; then
			IFS=' ' read -r self _ </proc/self/stat
			started "$self" && name_child "$self.$start"
		fi
		cd "$root/current" 2>/dev/null || cd "$root" || exit 126 # a step before all releases
		umask 022
		# shellcheck disable=SC2086 # nothing, or one word
		exec $session timeout -k 5 "$seconds" "$@"
	) </dev/null >&4 2>&4 4>&- &
	child=$!
	exec 4>&-
	trap 'kill -TERM "-$child" "$child" 2>/dev/null' TERM
	while :; do
		wait "$child"
		status=$?
		if [ "$status" -le 128 ] || ! started "$child"; then
			break
		fi
	done
	trap : TERM
	case $status in
	124 | 137 | 143)
		uptime
		[ $((now - began)) -lt "$seconds" ] || status=late
		[ "$status" != late ] || kill -KILL "-$child" 2>/dev/null
		;;
	esac
}

# Activate itself holds the lock, together with us.
name_child() {
	[ ! -L "$own/lock.new" ] || rm -f "$own/lock.new"
	ln -s "$me-$1@$boot" "$own/lock.new" && mv -T "$own/lock.new" "$own/lock"
}

# ---- ask, run, put -------------------------------------------------------------------------------

do_ask() {
	name=$1 epoch=$2
	[ "$epoch" = 0 ] || put_fence
	tell
	say end
}

# The first file of a release that does not hold what was delivered.
do_compare() {
	name=$1
	take_list ""
	[ -d "$releases/$name" ] || fail missing "the release '$name' is not on the host"
	(cd "$releases/$name" && LC_ALL=C sha256sum -c 2>/dev/null) <<-END |
	$text
	END
		while IFS= read -r line; do
			case $line in *': FAILED' | *': FAILED '*) say differs "${line%: FAILED*}" ;; esac
		done
	say end
}

do_run() {
	seconds=$1
	shift
	[ -d "$root/current/" ] || fail root "there is no '$root/current'"
	run "$@"
	say "done" "$status"
}

# NAME SECONDS CLIENT RELEASE COMMIT ROLLOUT STAGE ACTION EPOCH
take_facts() {
	name=$1 seconds=$2 release=$4 commit=$5 rollout=$6 epoch=$9
	export AVIARY_CLIENT="$3" AVIARY_RELEASE="$4" AVIARY_COMMIT="$5" AVIARY_ROLLOUT="$6"
	export AVIARY_STAGE="$7" AVIARY_ACTION="$8"
}

# SECONDS STEP BACKUP ARGUMENT...
run_step() {
	usual=$seconds
	seconds=$1
	export AVIARY_STEP="$2" AVIARY_BACKUP="$3"
	shift 3
	run "$@"
	unset AVIARY_STEP AVIARY_BACKUP
	seconds=$usual
}

do_step() {
	take_facts "$@"
	shift 9
	tell
	say ready
	IFS= read -r line && [ "$line" = go ] || exit 0
	check_epoch
	make_parts
	take_lock "$seconds"
	trap give_lock EXIT
	read_state
	check_epoch
	run_step "$@"
	say "done" "$status"
}

do_put() {
	take_facts "$@"
	shift 9
	keep=$1
	take_list ""
	sums=$text
	tell
	if is_whole "$releases/$name"; then
		say whole
	elif [ -n "$sums" ]; then
		tell_same
	fi
	say ready
	IFS= read -r order || exit 0
	take_list ""
	copy=$text
	take_list ""
	modes=$text
	take_list ""
	keeps=$text
	take_list words
	words=$text
	take_list words
	restore=$text backup=
	[ -z "$restore" ] || backup=$(eval "set -- $restore" && printf '%s' "${3-}")
	IFS= read -r line && [ "$line" = go ] || exit 0
	prepare
	eval "set -- $words"
	activate "$@"
}

make_parts() {
	[ ! -d "$own/" ] || [ ! -d "$releases/" ] || return 0
	(umask 022 && mkdir -p "$root" "$releases" && umask 077 && mkdir -p "$own") ||
		fail stage "the folders of '$root' cannot be made"
	chmod 0700 "$own" && chmod 0755 "$releases"
}

prepare() {
	check_epoch
	[ -L "$root/current" ] || [ ! -e "$root/current" ] || fail link "'$root/current' is not a symlink"
	make_parts
	new=$releases/.new-$me staged=
	if ! is_whole "$releases/$name"; then
		[ "$order" = put ] || fail missing "the release '$name' is not on the host"
		stage
	fi
	take_lock $((seconds + 15))
	# shellcheck disable=SC2154 # the shell's own
	trap give_lock EXIT
	read_state
	check_epoch
	tidy
	install || fail stage "the release '$name' cannot be put in its place"
}

activate() {
	if was_done; then
		status=0
		write_state active || status=unwritten
		say "done" "$status"
		return
	fi
	write_state activating || fail stage 'the state cannot be written'
	if ! switch "$name"; then
		say unsure "'$root/current' cannot be switched"
		return
	fi
	[ ! -e "$new" ] || rm -rf "$releases/.new-$me" "$releases/.new-$me-2"
	to_disk "$root"
	status=0
	[ -z "$restore" ] || eval "run_step $restore"
	[ "$status" = 0 ] || status="$status restore"
	if [ "$status" = 0 ] && [ $# != 0 ]; then
		run "$@"
	fi
	if [ "$status" = 0 ]; then
		write_state active || status=unwritten
	fi
	[ "$status" != 0 ] || { tidy && prune; }
	say "done" "$status"
}

session=
command -v setsid >/dev/null 2>&1 && session=setsid
read -r boot 2>/dev/null </proc/sys/kernel/random/boot_id || boot=none
started $$ && me=$$.$start
case $what in
ask)
	probe head readlink
	probe_root
	do_ask "$@"
	;;
compare)
	probe sha256sum
	probe_root
	do_compare "$@"
	;;
run)
	probe timeout mkfifo cat date rm
	probe_root
	do_run "$@"
	;;
step)
	probe head readlink ln mkdir rm mv chmod cat date sleep timeout mkfifo
	probe_root
	do_step "$@"
	;;
put)
	probe tar sha256sum head readlink ln mkdir rm mv cp chmod touch ls cat date sync sleep \
		timeout mkfifo
	probe_root
	do_put "$@"
	;;
esac
