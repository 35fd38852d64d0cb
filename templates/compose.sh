#!/bin/sh
# compose.sh FOLDER SECONDS: makes the release in FOLDER run by docker compose, and waits until it is well.
#
# What `activate: compose` of fleet.yaml runs on the host, with any driver. FOLDER is <root>/current, never the folder
# that it points to: Compose keeps paths, and has to see the same ones in each release. AVIARY_CLIENT names the
# project, AVIARY_ACTION says whether the way is forth or back. The end comes before SECONDS are over, so that there is
# time to tell why. The last line of the output becomes the error message. docs/fleet-yaml.md tells the rules.
set -u
export LC_ALL=C
unset CDPATH COMPOSE_FILE COMPOSE_PATH_SEPARATOR COMPOSE_PROFILES COMPOSE_PROJECT_NAME COMPOSE_ENV_FILES

restarts_max=10   # of one container while it is waited for: more is a crash loop
looks_wanted=3    # good ones in a row, a second apart: a container without health check may still fall over
pull_attempts=4   # of what may pass by itself
log_lines=20      # of a service that failed
log_bytes=4000

# Seconds of a clock that nobody sets.
now() {
	read -r up _ < /proc/uptime
	echo "${up%.*}"
}

# Short enough to be asked often; whole seconds where sleep takes nothing else.
pause() {
	sleep 0.2 2>/dev/null || sleep 1
}

say() {
	printf 'compose: %s\n' "$*"
}

fail() {
	printf '%s\n' "$*"
	exit 1
}

# The last line of a text that says something, fit for a message.
last_line() {
	printf '%s\n' "$1" | tr -d '\000-\010\013-\037' | awk 'NF { line = $0 } END { print substr(line, 1, 110) }'
}

# Why something failed that printed this.
reason() {
	line=$(last_line "$1")
	printf '%s\n' "${line:-nothing was said, or not in time}"
}

# Run a command until the deadline; status 124 if it had to be ended then.
bounded() {
	"$@" < /dev/null &
	child=$!
	while kill -0 "$child" 2>/dev/null; do
		if [ "$(now)" -ge "$deadline" ]; then
			kill "$child" 2>/dev/null
			pause
			kill -9 "$child" 2>/dev/null
			wait "$child" 2>/dev/null
			return 124
		fi
		pause
	done
	wait "$child"
}

# ---- what the host has ----------------------------------------------------------------------------

# docker compose of this project; $program is one word or two.
compose() {
	# shellcheck disable=SC2086
	bounded $program --ansi never -p "$AVIARY_CLIENT" --project-directory "$folder" "$@"
}

# Is $version ("2.26.1", "5.6.0", "1.29.2") new enough?
is_usable() {
	major=${version%%.*}
	minor=${version#*.}
	minor=${minor%%[!0-9]*}
	case $major in
	1) [ "${minor:-0}" -ge 29 ] ;;
	2) [ "${minor:-0}" -ge 18 ] ;;
	[3-9] | [1-9][0-9]) true ;;
	*) false ;;
	esac
}

find_engine() {
	command -v docker > /dev/null ||
		fail 'docker is not installed on this host: apt install docker.io, or https://docs.docker.com/engine/install/'
	text=$(bounded docker version --format '{{.Server.Version}}' 2>&1) ||
		fail "the docker engine does not answer: $(reason "$text")"
}

find_compose() {
	found=''
	for program in 'docker compose' docker-compose; do
		# shellcheck disable=SC2086
		version=$(bounded $program version --short 2>/dev/null) || continue
		version=${version#v}
		is_usable && return
		found="$found, here is '$program' $(last_line "$version")"
	done
	fail "'docker compose' 2.18 or newer, or docker-compose 1.29, is needed$found: apt install docker-compose-plugin, or docker-compose"
}

# Which files, as lines: those that .env names, else those of Compose's own names, then the others by their names.
list_files() {
	if named=$(sed -n 's/^ *COMPOSE_FILE *= *//p' .env 2>/dev/null | tr -d "\"'") && [ "$named" ]; then
		printf '%s\n' "$named" | tail -n 1 | tr ':' '\n' | sed "s|^[^/]|$folder/&|"
		return
	fi
	for stem in compose docker-compose; do
		for file in "$folder/$stem.yaml" "$folder/$stem.yml" "$folder/$stem".*.yaml "$folder/$stem".*.yml; do
			[ ! -f "$file" ] || printf '%s\n' "$file"
		done
	done
}

find_files() {
	COMPOSE_FILE=$(list_files)
	[ "$COMPOSE_FILE" ] ||
		fail 'the release has no compose.yaml, docker-compose.yml, compose.NAME.yaml or COMPOSE_FILE in .env'
	COMPOSE_PATH_SEPARATOR='
'
	export COMPOSE_FILE COMPOSE_PATH_SEPARATOR
}

# Sets $shown: the files as one, as Compose understands them. Both generations print the same YAML.
show_files() {
	text=$(compose config -q 2>&1) || fail "the compose files are refused: $(reason "$text")"
	shown=$(compose config 2>/dev/null) || fail "'$program config' ended with status $?"
}

# Lines "service file" for the files of the release that a service gets as configs or secrets. Both generations of
# Compose break a long line at a blank, and the rest stands deeper on the next one.
list_mounted() {
	printf '%s\n' "$shown" | awk '
		function word(text) { gsub(/["'\'':]*$|^["'\'']/, "", text); return text }
		open && /^      / { sub(/^ +/, " "); file[open] = file[open] $0; next }
		{ open = "" }
		/^[^ ]/ { top = word($1); part = ""; next }
		/^  [^ ]/ { name = word($1); part = "" }
		/^    [^ -]/ { part = word($1) }
		top ~ /^(configs|secrets)$/ && part == "file" && /^    file: / {
			sub(/^    file: /, ""); open = top SUBSEP name; file[open] = $0
		}
		top == "services" && part ~ /^(configs|secrets)$/ && /^ +(- )?source: / {
			sub(/^.*source: /, ""); used[++count] = name; key[count] = part SUBSEP word($0)
		}
		END { for (i = 1; i <= count; i++) if (key[i] in file) print used[i], word(file[key[i]]) }'
}

# What the files of a service hold, as one line of sums.
sum_mounted() {
	printf '%s\n' "$mounted" | while read -r name file; do
		[ "$name" = "$1" ] || continue
		cksum < "$file"
	done | tr '\n' ' '
}

# Compose does not see that the text of such a file has changed, and would leave the container with the old one: a label
# of the service says what it is. The file for it lies beside the state of the host.
label_mounted() {
	mounted=$(list_mounted)
	[ "$mounted" ] || return 0
	labels=${folder%/*}/.aviary/compose.labels.yaml
	umask 077
	mkdir -p "${labels%/*}"
	unread=$(printf '%s\n' "$mounted" | while read -r service file; do
		[ -r "$file" ] || printf '%s\n' "'$file' of service '$service'"
	done)
	[ -z "$unread" ] || fail "cannot read $(last_line "$unread"), which the compose files name"
	{
		sed -n '/^version:/p' "${COMPOSE_FILE%%"$COMPOSE_PATH_SEPARATOR"*}"
		echo services:
		printf '%s\n' "$mounted" | sed 's/ .*//' | sort -u | while read -r service; do
			printf '  "%s": {labels: {aviary.files: "%s"}}\n' "$service" "$(sum_mounted "$service")"
		done
	} > "$labels" || fail "cannot write '$labels'"
	COMPOSE_FILE=$COMPOSE_FILE$COMPOSE_PATH_SEPARATOR$labels
}

# ---- images ---------------------------------------------------------------------------------------

# Lines "service image" of what is not built here.
list_images() {
	printf '%s\n' "$shown" | awk '
		function word(text) { gsub(/["'\'':]*$|^["'\'']/, "", text); return text }
		/^[^ ]/ { inside = $1 == "services:"; next }
		!inside { next }
		/^  [^ ]/ { service = word($1) }
		/^    image:/ { image[service] = word($2) }
		/^    build:/ { built[service] = 1 }
		END { for (s in image) if (!(s in built)) print s, image[s] }' | sort
}

# Is the image on this host?
is_here() {
	docker image inspect --format . "$1" < /dev/null > /dev/null 2>&1
}

# Is this an image whose name may mean another one tomorrow? Not on the way back: what ran is here.
may_move() {
	[ "${AVIARY_ACTION:-}" != rollback ] || return
	case $1 in *@*) return 1 ;; esac
	case ${1##*/} in *:latest) ;; *:*) false ;; esac
}

# Trying again gives nothing else.
is_lasting() {
	case $1 in
	*'manifest unknown'* | *'not found'* | *'pull access denied'* | *'does not exist'* | *nauthorized* | \
		*'enied: '* | *'nvalid reference'* | *'no matching manifest'* | *'no basic auth'* | *'no space left'*) ;;
	*) false ;;
	esac
}

# Before anything is stopped.
pull() {
	services='' missing=''
	images=$(list_images)
	while read -r service image; do
		[ "$image" ] || continue
		if ! is_here "$image"; then
			services="$services $service" missing=yes
		elif may_move "$image"; then
			services="$services $service"
		fi
	done <<-END
		$images
	END
	[ "$services" ] || return 0
	say "pulls the images of$services"
	attempt=1
	# shellcheck disable=SC2086 # names of services have no blanks
	while ! text=$(compose pull -q $services 2>&1); do
		[ -z "$text" ] || printf '%s\n' "$text"
		if [ -z "$missing" ]; then
			say 'the registry does not answer: goes on with the images that are here'
			return
		fi
		is_lasting "$text" && fail "images cannot be pulled: $(reason "$text")"
		if [ "$attempt" -ge "$pull_attempts" ] || [ "$(($(now) + attempt * 2))" -ge "$deadline" ]; then
			fail "images could not be pulled in $attempt attempts: $(reason "$text")"
		fi
		say "the pull failed, and is tried again in $((attempt * 2)) s"
		sleep "$((attempt * 2))"
		attempt=$((attempt + 1))
	done
}

# ---- containers -----------------------------------------------------------------------------------

# A line for each container: service, id, status, health, exit status, restarts, restart policy, start. Health comes
# from `ps`: of a container without health check some versions of `inspect` have no such field, and say so by failing.
look() {
	listed=$(bounded docker ps -a --no-trunc --format '{{.ID}} {{.Status}}' \
		--filter "label=com.docker.compose.project=$AVIARY_CLIENT" \
		--filter label=com.docker.compose.oneoff=False) || return
	[ "$listed" ] || return 0
	ids=$(printf '%s\n' "$listed" | sed 's/ .*//')
	# shellcheck disable=SC2086 # ids have no blanks
	seen=$(bounded docker inspect --format '{{.Id}} {{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{.State.ExitCode}} {{.RestartCount}} {{if .HostConfig.RestartPolicy.Name}}{{.HostConfig.RestartPolicy.Name}}{{else}}no{{end}} {{.State.StartedAt}}' $ids) || return
	printf '%s\n--\n%s\n' "$listed" "$seen" | awk '
		$1 == "--" { inspected = 1; next }
		inspected { print $2, $1, $3, health[$1], $4, $5, $6, $7; next }
		{ health[$1] = "none" }
		/\(healthy\)$/ { health[$1] = "healthy" }
		/\(unhealthy\)$/ { health[$1] = "unhealthy" }
		/\(health: starting\)$/ { health[$1] = "starting" }' | sort
}

# Did this very process run before we came?
was_there() {
	case $before in *" $1 "*" $2"*) ;; *) false ;; esac
}

# How often a container had been restarted before we came.
restarts_before() {
	printf '%s\n' "$before" | awk -v id="$1" '$2 == id { n = $6 } END { print n + 0 }'
}

# Sets $why if one container is not well, and $final if waiting makes no sense.
judge_one() {
	why='' final=''
	case $status in
	running)
		case $health in
		none | healthy) ;;
		unhealthy)
			why='is unhealthy'
			was_there "$id" "$started" || final=yes
			;;
		*) why='is not healthy yet' ;;
		esac
		;;
	exited)
		case $policy:$code in
		no:0 | on-failure:0) ;; # a one-shot
		*) why="exited with status $code" final=yes ;;
		esac
		;;
	restarting) why="exited with status $code, and is started again" ;;
	dead) why='is dead' final=yes ;;
	*) why="is $status" ;;
	esac
	if [ "$((restarts - $(restarts_before "$id")))" -gt "$restarts_max" ]; then
		why="was restarted $restarts times, exit status $code" final=yes
	fi
}

# Sets $bad ("service id why" of those that are not well, the hopeless ones first) and $hopeless.
judge() {
	bad='' hopeless=''
	while read -r service id status health code restarts policy started; do
		[ "$id" ] || continue
		judge_one
		if [ "$final" ]; then
			bad="$service $id $why
$bad" hopeless=yes
		elif [ "$why" ]; then
			bad="$bad$service $id $why
"
		fi
	done <<-END
		$1
	END
}

# What its health check or, without one, its log says last.
last_words() {
	words=$(docker inspect --format '{{if .State.Health}}{{range .State.Health.Log}}{{println .Output}}{{end}}{{end}}' "$1" \
		< /dev/null 2>/dev/null)
	case $2 in *healthy*) ;; *) words='' ;; esac
	[ "$words" ] || words=$(docker logs --tail "$log_lines" "$1" < /dev/null 2>&1 | tail -c "$log_bytes")
	last_line "$words"
}

# Tell which services are not well, with the ends of their logs, and give up.
give_up() {
	prefix=$1
	summary=''
	count=0
	while read -r service id why; do
		[ "$id" ] || continue
		count=$((count + 1))
		[ "$count" -le 3 ] || continue
		say "service '$service' $why; its log ends:"
		docker logs --tail "$log_lines" "$id" < /dev/null 2>&1 | tail -c "$log_bytes" | sed "s/^/  $service | /"
		words=$(last_words "$id" "$why")
		[ "$summary" ] || summary="service '$service' $why${words:+: $words}"
	done <<-END
		$bad
	END
	[ "$count" -le 1 ] || summary="$summary (and $((count - 1)) more)"
	fail "$prefix$summary"
}

wait_until_well() {
	steady=0 lines_before=''
	while [ "$(now)" -lt "$deadline" ]; do
		if lines=$(look); then
			judge "$lines"
			[ -z "$hopeless" ] || give_up ''
			if [ "$bad" ] || [ "$lines" != "$lines_before" ]; then
				steady=0
			fi
			lines_before=$lines
			steady=$((steady + 1))
			if [ -z "$bad" ] && [ "$steady" -ge "$looks_wanted" ]; then
				return
			fi
		fi
		sleep 1
	done
	[ -z "$bad" ] || give_up 'not in time: '
	fail 'not in time: the containers do not stay as they are'
}

# ---- all of it ------------------------------------------------------------------------------------

folder=$1
reserve=$(($2 / 10)) # for telling why
[ "$reserve" -le 15 ] || reserve=15
[ "$reserve" -ge 3 ] || reserve=3
deadline=$(($(now) + $2 - reserve))
bad=''

cd "$folder" || fail "there is no folder '$folder'"
find_engine
find_compose
find_files
say "$program $version, project $AVIARY_CLIENT"
show_files
label_mounted
pull
say 'the images are there' # COMPOSE_PULLED: the next host may pull
before=$(look)
compose up -d --remove-orphans || {
	ended=$?
	deadline=$(($(now) + reserve / 2 + 1)) # to look once more
	judge "$(look)"
	[ -z "$bad" ] || give_up ''
	[ "$ended" != 124 ] || fail "'$program up' was not done in time"
	fail "'$program up' ended with status $ended: its output tells why"
}
wait_until_well
say 'every container is well'
