#include "reconcile/drivers/playbook.h"
#include "base/feed.h"
#include "base/fs.h"
#include "reconcile/drivers/ansible_events.h"
#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

extern const char embedded_ansible_callback_py[];
extern const unsigned long embedded_ansible_callback_py_len;

#define CALLBACK "aviary"
/* From SIGINT to SIGKILL: ansible ends its connections. */
#define GRACE_MS 10000

/* One run, and its files in memory. */
struct playbook_run {
	const struct playbook *playbook;
	struct step_place *place;
	const char *memory;
	char *variables; /* paths */
	char *connection;
	struct feed *feed;
	struct strlist own; /* variables of the environment */
	const char **environment;
	struct ansible_events events;
	int status;
};

static void run_clear(struct playbook_run *self)
{
	feed_free(self->feed);
	free(self->variables);
	free(self->connection);
	strlist_clear(&self->own);
	free(self->environment);
}

/* ---- what it reads -------------------------------------------------------------------------- */

static bool put_files(struct playbook_run *self, struct error *err)
{
	const struct playbook *playbook = self->playbook;
	auto_free char *plugins = mem_printf("%s/callbacks", self->memory);
	auto_free char *callback = mem_printf("%s/" CALLBACK ".py", plugins);
	auto_free char *sockets = mem_printf("%s/cp", self->memory);
	auto_free char *scratch = mem_printf("%s/tmp", self->memory);
	if (mkdir(plugins, 0700) < 0 || mkdir(sockets, 0700) < 0 || mkdir(scratch, 0700) < 0)
		return error_errno(err, errno, "folders in '%s'", self->memory);
	self->variables = mem_printf("%s/variables.yml", self->memory);
	self->connection = mem_printf("%s/connection.yml", self->memory);
	return fs_write(callback, embedded_ansible_callback_py, embedded_ansible_callback_py_len,
		       0600, err) &&
	       fs_write(self->connection, playbook->connection, strlen(playbook->connection), 0600,
		       err) &&
	       feed_new(self->variables, playbook->variables, playbook->variables_len, &self->feed,
		       err);
}

/* The first of equal options counts for ssh: so these stand before ansible_ssh_common_args. The
 * rest is ansible's standard. Python's shlex takes the single quotes away, ssh the double ones. */
#define SSH_ARGS "-o StrictHostKeyChecking=yes -C -o ControlMaster=auto -o ControlPersist=60s"
static bool add_known_hosts(struct playbook_run *self, struct error *err)
{
	const char *file = self->playbook->known_hosts_file;
	if (!file) {
		strlist_add(&self->own, "ANSIBLE_SSH_ARGS=" SSH_ARGS);
		return true;
	}
	if (strpbrk(file, "'\"\\%\n"))
		return error_set(err, ERR_INVALID,
			"hosts.known_hosts_file '%s' has a character that ssh does not take", file);
	strlist_addf(
		&self->own, "ANSIBLE_SSH_ARGS=" SSH_ARGS " -o 'UserKnownHostsFile=\"%s\"'", file);
	return true;
}

static bool make_environment(struct playbook_run *self, struct error *err)
{
	const struct playbook *playbook = self->playbook;
	const char *checkout = step_place_checkout(self->place);
	struct strlist *own = &self->own;
	size_t given = 0;
	strlist_add(own, "ANSIBLE_STDOUT_CALLBACK=" CALLBACK);
	strlist_addf(own, "ANSIBLE_CALLBACK_PLUGINS=%s/callbacks", self->memory);
	strlist_addf(own, "ANSIBLE_LOCAL_TEMP=%s/tmp", self->memory);
	strlist_addf(own, "ANSIBLE_SSH_CONTROL_PATH_DIR=%s/cp", self->memory);
	strlist_addf(own, "TMPDIR=%s/tmp", self->memory);
	strlist_add(own, "ANSIBLE_HOST_KEY_CHECKING=True");
	strlist_add(own, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED=True");
	strlist_add(own, "ANSIBLE_RETRY_FILES_ENABLED=False");
	strlist_add(own, "ANSIBLE_NOCOLOR=1");
	strlist_add(own, "PYTHONDONTWRITEBYTECODE=1");
	if (playbook->config)
		strlist_addf(own, "ANSIBLE_CONFIG=%s/%s", checkout, playbook->config);
	else
		strlist_addf(
			own, "ANSIBLE_ROLES_PATH=%s/ansible/roles:%s/roles", checkout, checkout);
	if (playbook->ssh_key_file)
		strlist_addf(own, "ANSIBLE_PRIVATE_KEY_FILE=%s", playbook->ssh_key_file);
	if (!add_known_hosts(self, err))
		return false;
	while (playbook->environment[given])
		given++;
	self->environment = mem_zero(given + own->count + 1, sizeof(*self->environment));
	memcpy(self->environment, playbook->environment, given * sizeof(*self->environment));
	for (size_t i = 0; i < own->count; i++)
		self->environment[given + i] = own->items[i];
	return true;
}

/* ---- how it ended --------------------------------------------------------------------------- */

static bool judge(const struct playbook_run *self, struct driver_run *run, struct error *err)
{
	const struct ansible_events *events = &self->events;
	const char *name = self->playbook->name;
	if (!events->ended && events->task[0])
		return error_set(err, ERR_INVALID,
			"%s: ansible-playbook ended with status %d after task '%s'", name,
			self->status, events->task);
	if (!events->ended) {
		run->touched = DRIVER_TOUCHED_NOTHING;
		return error_set(err, ERR_INVALID,
			"%s: ansible-playbook ended with status %d and ran nothing", name,
			self->status);
	}
	if (events->failed)
		return error_set(err, ERR_INVALID, "%s failed in task '%s': %s", name, events->what,
			events->why);
	if (events->unreachable) {
		if (!events->done)
			run->touched = DRIVER_TOUCHED_NOTHING;
		return error_set(err, ERR_UNREACHABLE, "%s: host '%s' is unreachable: %s", name,
			self->playbook->host, events->why);
	}
	if (self->status)
		return error_set(err, ERR_INVALID, "%s: ansible-playbook ended with status %d",
			name, self->status);
	return true;
}

static bool start(struct playbook_run *self, struct driver_run *run, struct error *err)
{
	const struct playbook *playbook = self->playbook;
	auto_free char *inventory =
		mem_printf("%s/%s", step_place_checkout(self->place), playbook->inventory);
	auto_free char *variables = mem_printf("@%s", self->variables);
	const char *const argv[] = {"ansible-playbook", "-i", inventory, "-i", self->connection,
		"--limit", playbook->host, "-e", variables, "--", playbook->path, NULL};
	const struct local_command command = {.name = playbook->name,
		.argv = argv,
		.environment = self->environment,
		.timeout_ms = playbook->timeout_ms,
		.grace_ms = GRACE_MS,
		.end_signal = SIGINT,
		.status_out = &self->status};
	struct driver_run heard = *run;
	heard.output = ansible_events_add;
	heard.output_data = &self->events;
	ansible_events_init(&self->events, run->output, run->output_data);
	self->events.mask = playbook->mask;
	heard.touched = DRIVER_TOUCHED_FAILED;
	bool good = step_place_run(self->place, &command, &heard, err);
	ansible_events_end(&self->events);
	run->touched = heard.touched;
	return good;
}

bool playbook_run(struct step_place *place, const struct playbook *playbook, struct driver_run *run,
	struct error *err)
{
	CLEANUP(run_clear) struct playbook_run self = {.playbook = playbook, .place = place};
	return step_place_memory(place, &self.memory, err) && put_files(&self, err) &&
	       make_environment(&self, err) && start(&self, run, err) && judge(&self, run, err);
}

bool playbook_can_limit(const char *host)
{
	static const char set[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
	bool begins = host[0] && host[0] != '-' && host[0] != '.';
	return begins && !host[strspn(host, set)] && strcmp(host, "all") != 0;
}
