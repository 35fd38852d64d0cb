#include "reconcile/drivers/ssh_talk.h"
#include "base/clock.h"
#include "base/ssh.h"
#include "reconcile/drivers/ssh_talk_plan.h"

#define LINE_MAX_BYTES 8192
#define STATE_MAX      4096
#define NOISE_MAX      ((size_t)1 << 20) /* of a login shell's greetings */
#define ERRORS_TOLD    300

#define LOCK_SLACK_MS 15000  /* as in host.sh: what a holder may take beyond its own time */
#define SLACK_MS      120000 /* delivery, disks, a busy host */

struct talk {
	struct driver_task *task;
	char nonce[TALK_NONCE + 1];
	enum talk_state state;
	struct talk_plan plan;
	size_t part, sent;     /* of the plan: what is next */
	size_t last_part;      /* parts that are there to be sent by now */
	bool *same;            /* by file of the release */
	size_t same_at, saved; /* where the host's list is; bytes */
	bool whole, going, has_state, bad_link;
	struct buf line, state_text;
	size_t noise;
};

/* ---- making --------------------------------------------------------------------------------- */

static bool is_put(const struct talk *talk)
{
	return talk->task->work == DRIVER_ACTIVATE;
}

static bool is_compare(const struct talk *talk)
{
	return talk->task->work == DRIVER_COMPARE;
}

/* Does it begin after our word, once the host is ready? */
static bool is_begun(const struct talk *talk)
{
	return is_put(talk) || talk->task->work == DRIVER_STEP;
}

bool talk_new(
	struct driver_task *task, const char *nonce, struct talk **talk_out, struct error *err)
{
	auto_talk struct talk *talk = mem_zero(1, sizeof(*talk));
	talk->task = task;
	task->differs = NULL;                                          /* of a connection before */
	(void)snprintf(talk->nonce, sizeof(talk->nonce), "%s", nonce); /* fits */
	talk_plan_clear(&talk->plan);
	buf_init(&talk->line, LINE_MAX_BYTES);
	buf_init(&talk->state_text, STATE_MAX);
	if (is_put(talk) || is_compare(talk)) {
		if (!driver_check_release(task->release, err) ||
			!talk_plan_sums(&talk->plan, task->release, err))
			return false;
		talk->same = mem_zero(task->release->count, sizeof(*talk->same));
		talk->last_part = talk->plan.count;
	}
	*talk_out = STEAL(talk);
	return true;
}

void talk_free(struct talk *talk)
{
	if (!talk)
		return;
	talk_plan_clear(&talk->plan);
	buf_clear(&talk->line);
	buf_clear(&talk->state_text);
	free(talk->same);
	free(talk);
}

void talk_command(const struct talk *talk, struct buf *out)
{
	talk_plan_command(talk->task, talk->nonce, out);
}

/* ---- sending -------------------------------------------------------------------------------- */

size_t talk_next(const struct talk *talk, const char **bytes_out)
{
	if (talk->part >= talk->last_part || talk->state == TALK_ENDED)
		return 0;
	const struct talk_part *part = &talk->plan.parts[talk->part];
	const char *bytes = part->bytes ? part->bytes : talk->plan.text.text + part->at;
	*bytes_out = bytes + talk->sent;
	return part->len - talk->sent;
}

void talk_sent(struct talk *talk, size_t len)
{
	talk->sent += len;
	if (talk->sent < talk->plan.parts[talk->part].len)
		return;
	talk->part++;
	talk->sent = 0;
}

bool talk_is_told(const struct talk *talk)
{
	return talk->part >= talk->last_part && (!is_begun(talk) || talk->going);
}

bool talk_is_working(const struct talk *talk)
{
	return talk->task->work == DRIVER_COMMAND || (talk->going && talk_is_told(talk));
}

static int64_t restore_ms(const struct talk *talk)
{
	const struct driver_step *restore = talk->task->release->restore;
	return restore ? restore->timeout_ms : 0;
}

int64_t talk_total_ms(const struct talk *talk)
{
	switch (talk->task->work) {
	case DRIVER_ACTIVATE:
	case DRIVER_STEP:
		return restore_ms(talk) + 2 * talk_timeout_ms(talk->task) + LOCK_SLACK_MS +
		       SLACK_MS;
	case DRIVER_COMMAND:
		return talk_timeout_ms(talk->task) + LOCK_SLACK_MS;
	case DRIVER_ASK:
	case DRIVER_COMPARE:
		break;
	}
	return SLACK_MS;
}

size_t talk_saved(const struct talk *talk)
{
	return talk->saved;
}

void talk_go_on(struct talk *talk)
{
	talk->state = TALK_GOES_ON;
	talk->going = true;
	if (is_put(talk))
		talk_plan_put(&talk->plan, talk->task, talk->same, talk->whole);
	else
		talk_plan_go(&talk->plan);
	talk->last_part = talk->plan.count;
}

/* ---- hearing -------------------------------------------------------------------------------- */

static void end(struct talk *talk, bool ok, enum driver_touched touched)
{
	talk->state = TALK_ENDED;
	talk->task->ok = ok;
	talk->task->run.touched = touched;
}

static void refuse(struct talk *talk, enum error_code code, const char *what, const char *hint)
{
	(void)error_set(&talk->task->err, code, "host of '%s': %s", talk->task->host->client, what);
	if (hint)
		(void)error_hint(&talk->task->err, "%s", hint); /* returns false */
	end(talk, false, DRIVER_TOUCHED_NOTHING);
}

static void newer_leader(struct talk *talk, const char *epoch)
{
	(void)error_set(&talk->task->err, ERR_REFUSED,
		"the host of '%s' follows a newer leader (epoch %.20s, ours is %lld)",
		talk->task->host->client, epoch,
		(long long)(is_begun(talk) ? talk->task->release->epoch : talk->task->epoch));
	end(talk, false, DRIVER_TOUCHED_NOTHING);
}

static void failed(struct talk *talk, char *text)
{
	static const struct {
		const char *kind;
		enum error_code code;
		const char *before, *hint;
	} kinds[] = {
		{"lacks", ERR_INVALID, "it lacks",
			"install these programs there; see docs/hosts.md"},
		{"root", ERR_INVALID, "", "let the user of the connection have driver.root"},
		{"state", ERR_INVALID,
			"its state file:", "remove the file if the host should count as new"},
		{"link", ERR_INVALID, "", "move it away; Aviary makes it point to a release"},
		{"missing", ERR_NOT_FOUND, "", NULL},
		{"digest", ERR_SYSTEM, "", "it was not used; look at the host's disk"},
		{"stage", ERR_SYSTEM, "",
			"nothing was touched; look at the host's disk and rights"},
		{"lock", ERR_SYSTEM, "", NULL},
	};
	char *rest = strchr(text, ' ');
	if (rest)
		*rest++ = '\0';
	auto_buf struct buf what = BUF_INIT(500);
	if (rest)
		buf_add_clean(&what, rest, strlen(rest));
	if (!strcmp(text, "epoch")) {
		newer_leader(talk, what.text);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (strcmp(text, kinds[i].kind) != 0)
			continue;
		auto_free char *sentence = mem_printf("%s%s%s", kinds[i].before,
			kinds[i].before[0] && what.text[0] != ' ' ? " " : "", what.text);
		refuse(talk, kinds[i].code, sentence, kinds[i].hint);
		return;
	}
	refuse(talk, ERR_INVALID, "it answers what nobody asked for", NULL);
}

static void command_done(struct talk *talk, const char *status)
{
	struct driver_task *task = talk->task;
	task->late = !strcmp(status, "late");
	task->status = task->late ? 124 : (int)strtol(status, NULL, 10);
	end(talk, true, DRIVER_TOUCHED_NOTHING);
	if (!task->late && (status[0] < '0' || status[0] > '9'))
		refuse(talk, ERR_SYSTEM, "the command could not be started", NULL);
}

/* "STATUS", or "STATUS restore" of the step before activate */
static void activate_done(struct talk *talk, const char *status)
{
	struct error *err = &talk->task->err;
	const struct driver_step *step = talk->task->step;
	enum driver_touched touched = DRIVER_TOUCHED_FAILED;
	long number = strtol(status, NULL, 10);
	bool late = !strncmp(status, "late", 4);
	int64_t limit_ms = talk_timeout_ms(talk->task);
	if (strstr(status, " restore"))
		step = talk->task->release->restore;
	const char *name = step ? step->name : "activate";
	if (step)
		limit_ms = step->timeout_ms;
	if (!strcmp(status, "0")) {
		end(talk, true, DRIVER_TOUCHED_UNKNOWN);
		return;
	}
	if (late) {
		char text[CLOCK_TEXT_SIZE];
		(void)error_set(err, ERR_TIMEOUT, "%s did not end within %s", name,
			duration_format(limit_ms, text));
	} else if (!strcmp(status, "unwritten")) {
		touched = DRIVER_TOUCHED_UNKNOWN;
		(void)error_set(err, ERR_SYSTEM, "state of the host cannot be written");
	} else if (number > 128 && number < 256) {
		(void)error_set(err, ERR_INVALID, "%s was ended by signal %ld", name, number - 128);
	} else if (number > 0) {
		(void)error_set(err, ERR_INVALID, "%s ended with status %ld", name, number);
	} else {
		(void)error_set(err, ERR_SYSTEM, "%s could not be started", name);
	}
	end(talk, false, touched);
}

static void take_same(struct talk *talk, const char *path)
{
	const struct driver_release *release = talk->task->release;
	if (strncmp(path, "./", 2) != 0)
		return;
	/* the host tells them in the order of our list */
	for (size_t i = talk->same_at; i < release->count; i++) {
		if (strcmp(release->files[i].path, path + 2) != 0)
			continue;
		talk->same[i] = true;
		talk->saved += release->files[i].len;
		talk->same_at = i + 1;
		return;
	}
}

/* The first one counts. */
static void take_differs(struct talk *talk, const char *path)
{
	const struct driver_release *release = talk->task->release;
	for (size_t i = 0; i < release->count && !talk->task->differs; i++) {
		if (!strncmp(path, "./", 2) && !strcmp(release->files[i].path, path + 2))
			talk->task->differs = release->files[i].path;
	}
}

static void take_current(struct talk *talk, const char *name)
{
	struct driver_state *state = &talk->task->state;
	if (strlen(name) == DRIVER_SHORT && strspn(name, "0123456789abcdef") == DRIVER_SHORT)
		(void)snprintf(
			state->current, sizeof(state->current), "sha256:%s", name); /* fits */
}

/* All of the state was told. @return false: it does not read, the talk has ended */
static bool finish_state(struct talk *talk)
{
	struct driver_state *state = &talk->task->state;
	struct driver_state read = {0};
	struct error err;
	bool fine =
		!talk->has_state || (!buf_overflowed(&talk->state_text) &&
					    driver_state_parse(talk->state_text.text, &read, &err));
	if (!fine) {
		auto_free char *what = mem_printf("its state file '%s/.aviary/state': %s",
			talk->task->host->root,
			buf_overflowed(&talk->state_text) ? "larger than any" : err.message);
		refuse(talk, ERR_INVALID, what, "remove the file if the host should count as new");
		return false;
	}
	memcpy(read.current, state->current, sizeof(read.current));
	read.locked = state->locked;
	read.epoch = read.epoch > state->epoch ? read.epoch : state->epoch;
	*state = read;
	if (driver_same_release(state->release, state->current))
		memcpy(state->current, state->release, sizeof(state->current));
	return true;
}

static void ready(struct talk *talk)
{
	if (!finish_state(talk))
		return;
	if (talk->bad_link)
		refuse(talk, ERR_INVALID, "its 'current' is not a symlink",
			"move it away; Aviary makes it point to a release");
	else
		talk->state = TALK_READY;
}

/* A line that is no list's, "WORD" or "WORD TEXT". @return false: none that we know */
static bool take_word(struct talk *talk, const char *word, char *text)
{
	if (!strcmp(word, "fail"))
		failed(talk, text);
	else if (!strcmp(word, "done") && talk->task->work == DRIVER_COMMAND)
		command_done(talk, text);
	else if (!strcmp(word, "done") && talk->going)
		activate_done(talk, text);
	else if (!strcmp(word, "unsure") && talk->going) {
		refuse(talk, ERR_SYSTEM, "its 'current' cannot be switched", NULL);
		end(talk, false, DRIVER_TOUCHED_UNKNOWN);
	} else if (!strcmp(word, "ready") && is_begun(talk) && !talk->going)
		ready(talk);
	else if (!strcmp(word, "end") && is_compare(talk))
		end(talk, true, DRIVER_TOUCHED_NOTHING);
	else if (!strcmp(word, "end") && talk->task->work == DRIVER_ASK) {
		if (finish_state(talk))
			end(talk, true, DRIVER_TOUCHED_NOTHING);
	} else
		return !strcmp(word, "waiting");
	return true;
}

static bool take_fact(struct talk *talk, const char *word, const char *text)
{
	if (!strcmp(word, "line")) {
		buf_addf(&talk->state_text, "%s\n", text);
		return true;
	}
	if (!strcmp(word, "state"))
		talk->has_state = true;
	else if (!strcmp(word, "current"))
		take_current(talk, text);
	else if (!strcmp(word, "no-link"))
		talk->bad_link = true;
	else if (!strcmp(word, "epoch"))
		talk->task->state.epoch = strtoll(text, NULL, 10);
	else if (!strcmp(word, "fenced"))
		talk->task->fenced = true;
	else if (!strcmp(word, "locked"))
		talk->task->state.locked = true;
	else if (!strcmp(word, "has"))
		talk->task->has = true;
	else if (!strcmp(word, "whole"))
		talk->whole = true;
	else if (!strcmp(word, "differs") && is_compare(talk))
		take_differs(talk, text);
	else if (!strcmp(word, "same") && is_put(talk))
		take_same(talk, text);
	else
		return false;
	return true;
}

static void take_line(struct talk *talk)
{
	char *line = talk->line.text;
	size_t nonce = strlen(talk->nonce);
	/* a login shell may greet */
	if (strncmp(line, talk->nonce, nonce) != 0 || line[nonce] != ' ')
		return;
	char *word = line + nonce + 1, *text = strchr(word, ' ');
	if (text)
		*text++ = '\0';
	else
		text = word + strlen(word);
	if ((talk->going || !take_fact(talk, word, text)) && !take_word(talk, word, text))
		refuse(talk, ERR_INVALID, "it answers what nobody asked for",
			"is its host.sh another one? it comes from us with each connection");
}

enum talk_state talk_hear(struct talk *talk, const char *bytes, size_t len)
{
	for (size_t i = 0; i < len && talk->state == TALK_GOES_ON; i++) {
		if (bytes[i] != '\n') {
			buf_add_char(&talk->line, bytes[i]);
			continue;
		}
		talk->noise += talk->line.len + 1;
		if (!buf_overflowed(&talk->line))
			take_line(talk);
		buf_truncate(&talk->line, 0);
		talk->line.overflow = false;
	}
	size_t most = NOISE_MAX + (is_put(talk) || is_compare(talk) ? talk->plan.text.len : 0);
	if (talk->state == TALK_GOES_ON && talk->noise > most && !talk->going)
		refuse(talk, ERR_INVALID, "it says too much",
			"keep the login shell of its user from printing anything");
	return talk->state;
}

/* ---- the end of the connection -------------------------------------------------------------- */

/* The first line that stderr has. */
static void add_errors(const struct buf *errors, struct buf *out)
{
	const char *text = errors->text + strspn(errors->text, "\r\n\t ");
	size_t len = strcspn(text, "\r\n");
	buf_add_clean(out, text, len < ERRORS_TOLD ? len : ERRORS_TOLD);
}

void talk_explain(struct talk *talk, const struct buf *errors)
{
	struct error *err = &talk->task->err;
	bool has_run = talk->task->run.touched != DRIVER_TOUCHED_NOTHING;
	auto_buf struct buf said = BUF_INIT(ERRORS_TOLD * 4);
	if (talk->task->ok || err->code != ERR_SYSTEM || has_run)
		return;
	add_errors(errors, &said);
	if (!said.len)
		return;
	struct error before = *err;
	(void)error_set(err, ERR_SYSTEM, "%s: %s", before.message, said.text); /* false */
	(void)error_hint(err, "%s", before.hint);                              /* false */
}

void talk_break(struct talk *talk, const struct error *why, const struct buf *errors)
{
	struct driver_task *task = talk->task;
	bool touched = is_begun(talk) && talk_is_working(talk);
	if (talk->state == TALK_ENDED)
		return;
	if (why->code != ERR_NONE) {
		task->err = *why;
		(void)error_wrap(&task->err, "host of '%s'", task->host->client); /* false */
		end(talk, false, touched ? DRIVER_TOUCHED_UNKNOWN : DRIVER_TOUCHED_NOTHING);
		return;
	}
	refuse(talk, ERR_SYSTEM, "its shell ended before it had answered",
		"its user needs a POSIX shell that runs commands");
	talk_explain(talk, errors);
	if (touched)
		task->run.touched = DRIVER_TOUCHED_UNKNOWN;
}
