#include "reconcile/drivers/hosts_job.h"
#include "base/clock.h"
#include "base/fs.h"
#include "reconcile/drivers/compose.h"
#include <sodium.h>
#include <sys/stat.h>

#define KEY_MAX         65536
#define KNOWN_HOSTS_MAX ((size_t)16 << 20)
#define ERRORS_MAX      8192
#define COMMAND_MAX     ((size_t)32 << 10) /* one packet, which libssh2 does not cut */
#define CONNECT_MS      15000
#define IDLE_MS         30000
#define DRAIN_MS        500 /* as base/exec: what is still on its way when the command has ended */
#define TURNS           64  /* then the other hosts have theirs */
#define DROPS_MAX       5
#define BACK_OFF_MS     200

/* ---- access --------------------------------------------------------------------------------- */

/* Changes when the file does. */
static int64_t stamp_of(const char *path)
{
	struct stat st;
	if (!path || stat(path, &st) < 0)
		return -1;
	return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec +
	       (int64_t)(st.st_ino * 7919) + st.st_size;
}

static bool read_known_hosts(const char *path, struct hosts_access *access, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(KNOWN_HOSTS_MAX);
	if (!path)
		return true;
	return (fs_read(path, KNOWN_HOSTS_MAX, &text, err) &&
		       known_hosts_parse(path, text.text, text.len, &access->known_hosts, err)) ||
	       error_wrap(err, "hosts.known_hosts_file");
}

bool hosts_access_read(const struct hosts_options *options, struct hosts_access *old,
	struct hosts_access **access_out, struct error *err)
{
	int64_t stamps[] = {stamp_of(options->ssh_key_file), stamp_of(options->known_hosts_file)};
	if (old && !memcmp(stamps, old->stamps, sizeof(stamps))) {
		old->users++;
		*access_out = old;
		return true;
	}
	if (!options->ssh_key_file) {
		(void)error_set(err, ERR_INVALID, "the service has no key for hosts"); /* false */
		return error_hint(err, "write 'hosts: {ssh_key_file: ...}' into its configuration");
	}
	struct hosts_access *access = mem_zero(1, sizeof(*access));
	access->users = 1;
	memcpy(access->stamps, stamps, sizeof(stamps));
	buf_init_secret(&access->key, KEY_MAX);
	if (!fs_read_secret(options->ssh_key_file, KEY_MAX, &access->key, err) ||
		!read_known_hosts(options->known_hosts_file, access, err)) {
		hosts_access_drop(access);
		return false;
	}
	*access_out = access;
	return true;
}

void hosts_access_drop(struct hosts_access *access)
{
	if (!access || --access->users)
		return;
	buf_clear(&access->key);
	known_hosts_free(access->known_hosts);
	free(access);
}

/* ---- beginning and end ---------------------------------------------------------------------- */

struct hosts_job *hosts_job_new(struct driver_task *task, const struct hosts_options *options)
{
	struct hosts_job *job = mem_zero(1, sizeof(*job));
	job->task = task;
	job->options = options;
	buf_init(&job->command, COMMAND_MAX);
	buf_init(&job->errors, ERRORS_MAX);
	return job;
}

static void disconnect(struct hosts_job *job)
{
	job->pulling = false;
	ssh_free(STEAL(job->ssh));
	hosts_access_drop(STEAL(job->access));
	talk_free(STEAL(job->talk));
	job->end_sent = job->out_ended = job->errors_ended = false;
	buf_truncate(&job->command, 0);
	buf_truncate(&job->errors, 0);
}

void hosts_job_free(struct hosts_job *job)
{
	disconnect(job);
	strlist_clear(&job->program);
	buf_clear(&job->command);
	buf_clear(&job->errors);
	free(job);
}

static bool begin_talk(struct hosts_job *job, struct error *err)
{
	unsigned char bytes[TALK_NONCE / 2];
	char nonce[TALK_NONCE + 1];
	randombytes_buf(bytes, sizeof(bytes));
	(void)sodium_bin2hex(nonce, sizeof(nonce), bytes, sizeof(bytes)); /* fits */
	if (!talk_new(job->task, nonce, &job->talk, err))
		return false;
	talk_command(job->talk, &job->command);
	if (!buf_overflowed(&job->command))
		return true;
	return error_set(
		err, ERR_INVALID, "host of '%s': the command is too long", job->task->host->client);
}

bool hosts_job_pulls(const struct hosts_job *job)
{
	return job->task->work == DRIVER_ACTIVATE && job->task->host->pulls;
}

bool hosts_job_start(struct hosts_job *job, struct dialer *dialer, struct hosts_access *access,
	struct error *err)
{
	const struct driver_host *host = job->task->host;
	int64_t connect_ms = job->options->connect_ms ? job->options->connect_ms : CONNECT_MS;
	const struct known_hosts *known = access ? access->known_hosts : NULL;
	bool program = hosts_program_is_used(job->task->host, job->options);
	job->access = access;
	job->phase = JOB_OPENING;
	job->pulling = hosts_job_pulls(job);
	job->pulled = 0;
	if (program && !hosts_program_argv(host, job->options, &job->program, err))
		return false;
	job->ssh_options = (struct ssh_options){
		.host = host->address,
		.port = host->port,
		.user = host->user,
		.known_hosts = known,
		.fingerprint = host->fingerprint,
		.key = access ? access->key.text : NULL,
		.key_len = access ? access->key.len : 0,
		.program = program ? (const char *const *)job->program.items : NULL,
		.key_name = job->options->ssh_key_file,
		.deadline = {.connect_ms = connect_ms,
			.idle_ms = connect_ms,
			.total_ms = 4 * connect_ms,
			.cancel_fd = -1},
	};
	if (!program && !known && !host->fingerprint) {
		(void)error_set(err, ERR_AUTH, "the host key of '%s' cannot be known",
			host->client); /* false */
		return error_hint(err, "write 'hosts: {known_hosts_file: ...}' into the "
				       "configuration, or host_key_fingerprint into the inventory");
	}
	return begin_talk(job, err) && ssh_start(&job->ssh_options, dialer, &job->ssh, err);
}

/* Without its answer a host is out of reach, whatever stopped it. */
static void break_off(struct hosts_job *job, const struct error *why)
{
	struct error err = *why;
	if (err.code == ERR_TIMEOUT && !(job->talk && talk_is_working(job->talk)))
		err.code = ERR_UNREACHABLE;
	if (job->phase == JOB_DRAINING || job->phase == JOB_OVER) {
		job->phase = JOB_OVER;
		return;
	}
	job->phase = JOB_OVER;
	if (job->talk) {
		talk_break(job->talk, &err, &job->errors);
		return;
	}
	job->task->ok = false;
	job->task->err = err;
	job->task->run.touched = DRIVER_TOUCHED_NOTHING;
}

void hosts_job_fail(struct hosts_job *job, const struct error *err)
{
	break_off(job, err);
}

/* ---- turns ---------------------------------------------------------------------------------- */

static enum ssh_step open_turn(struct hosts_job *job, struct error *err)
{
	enum ssh_step step = ssh_open_step(job->ssh, err);
	if (step != SSH_DONE)
		return step;
	hosts_access_drop(STEAL(job->access));
	int64_t idle_ms = job->options->idle_ms ? job->options->idle_ms : IDLE_MS;
	ssh_doing(job->ssh, "asking the host");
	ssh_restart_clock(job->ssh, idle_ms, talk_total_ms(job->talk));
	job->phase = JOB_STARTING;
	return SSH_DONE;
}

static enum ssh_step start_turn(struct hosts_job *job, struct error *err)
{
	enum ssh_step step = ssh_exec_step(job->ssh, job->command.text, err);
	if (step == SSH_DONE)
		job->phase = JOB_TALKING;
	return step;
}

/* Is it said that no more is pulled? Its first letter stands in it once, so nothing is looked at
 * twice. */
static void look_for_pulled(struct hosts_job *job, const char *bytes, size_t len)
{
	static const char said[] = COMPOSE_PULLED "\n";
	for (size_t i = 0; i < len && job->pulling; i++) {
		job->pulled = bytes[i] == said[job->pulled] ? job->pulled + 1 : bytes[i] == said[0];
		job->pulling = said[job->pulled] != '\0';
	}
}

static enum ssh_step read_errors(struct hosts_job *job, struct error *err)
{
	struct driver_run *run = &job->task->run;
	struct ssh_chunk chunk;
	if (job->errors_ended)
		return SSH_WAIT;
	enum ssh_step step = ssh_read_step(job->ssh, SSH_STDERR, &chunk, err);
	if (step != SSH_DONE)
		return step;
	job->errors_ended = !chunk.len;
	buf_add(&job->errors, chunk.bytes, chunk.len);
	look_for_pulled(job, chunk.bytes, chunk.len);
	if (chunk.len && run->output && talk_is_working(job->talk))
		run->output(run->output_data, chunk.bytes, chunk.len);
	explicit_bzero(chunk.bytes, chunk.len);
	return SSH_DONE;
}

/* The state is known and nothing touched yet. */
static void decide(struct hosts_job *job)
{
	struct driver_task *task = job->task;
	struct error err;
	if (task->may_start && !task->may_start(task, &err)) {
		task->ok = false;
		task->err = err;
		task->run.touched = DRIVER_TOUCHED_NOTHING;
		job->phase = JOB_OVER;
		return;
	}
	ssh_doing(job->ssh, "delivering");
	talk_go_on(job->talk);
}

static enum ssh_step read_answer(struct hosts_job *job, struct error *err)
{
	struct ssh_chunk chunk;
	if (job->out_ended)
		return SSH_WAIT;
	enum ssh_step step = ssh_read_step(job->ssh, SSH_STDOUT, &chunk, err);
	if (step != SSH_DONE)
		return step;
	job->out_ended = !chunk.len;
	if (job->phase != JOB_TALKING)
		return SSH_DONE;
	switch (talk_hear(job->talk, chunk.bytes, chunk.len)) {
	case TALK_READY:
		decide(job);
		break;
	case TALK_ENDED:
		job->phase = JOB_DRAINING;
		job->drain_end = clock_mono_ms() + DRAIN_MS;
		break;
	case TALK_GOES_ON:
		if (!job->out_ended)
			break;
		*err = (struct error){0};
		break_off(job, err);
		break;
	}
	return SSH_DONE;
}

/* From here on silence is work: only the deadline of the whole counts. */
static void expect_silence(struct hosts_job *job)
{
	int64_t total_ms = talk_total_ms(job->talk);
	ssh_doing(job->ssh, "waiting for the command's end");
	ssh_restart_clock(job->ssh, total_ms, total_ms);
}

static enum ssh_step write_orders(struct hosts_job *job, struct error *err)
{
	const char *bytes = NULL;
	size_t put = 0, len = talk_next(job->talk, &bytes);
	enum ssh_step step = SSH_WAIT;
	if (job->phase != JOB_TALKING || job->end_sent)
		return SSH_WAIT;
	if (len) {
		step = ssh_write_step(job->ssh, bytes, len, &put, err);
		if (step == SSH_DONE)
			talk_sent(job->talk, put);
	} else if (talk_is_told(job->talk)) {
		step = ssh_write_end_step(job->ssh, err);
		job->end_sent = step == SSH_DONE;
		if (job->end_sent && talk_is_working(job->talk))
			expect_silence(job);
	}
	return step;
}

static enum ssh_step talk_turn(struct hosts_job *job, struct error *err)
{
	static enum ssh_step (*const ways[])(struct hosts_job *, struct error *) = {
		read_errors, read_answer, write_orders};
	enum ssh_step all = SSH_WAIT;
	for (size_t i = 0; i < ARRAY_LEN(ways) && job->phase != JOB_OVER; i++) {
		enum ssh_step step = ways[i](job, err);
		if (step == SSH_FAILED)
			return SSH_FAILED;
		if (step == SSH_DONE)
			all = SSH_DONE;
	}
	if (job->phase == JOB_DRAINING && job->out_ended && job->errors_ended)
		job->phase = JOB_OVER;
	return all;
}

static enum ssh_step one_turn(struct hosts_job *job, struct error *err)
{
	switch (job->phase) {
	case JOB_OPENING:
		return open_turn(job, err);
	case JOB_STARTING:
		return start_turn(job, err);
	case JOB_TALKING:
	case JOB_DRAINING:
		return talk_turn(job, err);
	case JOB_OVER:
		break;
	}
	return SSH_WAIT;
}

/* sshd's MaxStartups drops strangers by chance: come back later, not all at the same time. */
static bool back_off(struct hosts_job *job)
{
	if (job->phase != JOB_OPENING || !ssh_was_dropped(job->ssh) || job->drops >= DROPS_MAX)
		return false;
	int64_t pause = (int64_t)BACK_OFF_MS << job->drops++;
	job->not_before = clock_mono_ms() + pause / 2 + randombytes_uniform((uint32_t)pause);
	disconnect(job);
	return true;
}

bool hosts_job_turn(struct hosts_job *job)
{
	struct error err;
	enum ssh_step step = SSH_DONE;
	for (int i = 0; i < TURNS && step == SSH_DONE && job->phase != JOB_OVER; i++)
		step = one_turn(job, &err);
	job->hot = step == SSH_DONE;
	if (step == SSH_FAILED) {
		if (back_off(job))
			return false;
		break_off(job, &err);
	}
	if (job->phase == JOB_OVER && job->talk)
		talk_explain(job->talk, &job->errors);
	return true;
}

int hosts_job_left_ms(const struct hosts_job *job, int cap)
{
	int left = ssh_left_ms(job->ssh, cap);
	if (job->hot)
		return 0;
	if (job->phase != JOB_DRAINING)
		return left;
	int64_t drain = job->drain_end - clock_mono_ms();
	return drain < 0 ? 0 : drain < left ? (int)drain : left;
}

void hosts_job_check(struct hosts_job *job)
{
	struct error err;
	if (job->phase == JOB_DRAINING && clock_mono_ms() >= job->drain_end)
		job->phase = JOB_OVER;
	else if (job->phase != JOB_OVER && !ssh_check(job->ssh, &err))
		break_off(job, &err);
}
