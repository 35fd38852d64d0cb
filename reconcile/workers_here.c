/* Steps that run on this machine instead of the client's host. */
#include "base/fs.h"
#include "base/http_client.h"
#include "reconcile/drivers/playbook.h"
#include "reconcile/secrets/secret.h"
#include "reconcile/workers_parts.h"
#include <poll.h>

/* Between two looks whether a request is to be given up because the service stops. */
#define LOOK_MS 200
/* Of an answer: for a person to read. */
#define ANSWER_MAX ((size_t)16 << 10)
/* In the place's folder in memory. */
#define SECRETS_FILE "secrets.json"

struct here {
	struct activation *activation;
	struct step_here *step;
	struct step_place *place;
};

static bool is_cancelled(const struct driver_run *run)
{
	struct pollfd fd = {.fd = run->cancel_fd, .events = POLLIN};
	return poll(&fd, 1, 0) > 0;
}

/* ---- command ------------------------------------------------------------------------------- */

/* The tokens reach no disk, and no environment: all that the program starts would inherit it. */
static bool put_secrets(const struct here *here, struct strlist *told, struct error *err)
{
	const struct step_here *step = here->step;
	const char *memory = NULL;
	if (!step->secrets)
		return true;
	if (!step_place_memory(here->place, &memory, err))
		return error_wrap(err, "secrets for %s", step->name);
	auto_free char *path = mem_printf("%s/" SECRETS_FILE, memory);
	strlist_addf(told, "AVIARY_SECRETS=%s", path);
	return fs_write(path, step->secrets, strlen(step->secrets), 0400, err);
}

/* What the program sees in its environment; ends with NULL. */
static bool make_environment(
	const struct here *here, const char ***environment_out, struct error *err)
{
	const struct activation *activation = here->activation;
	auto_strlist struct strlist told = STRLIST_INIT;
	driver_environment(activation->task.host, &activation->release, &told);
	driver_step_environment(activation->task.step, &told);
	if (!put_secrets(here, &told, err))
		return false;
	*environment_out =
		arena_array(here->step->arena, told.count + 1, sizeof(**environment_out));
	for (size_t i = 0; i < told.count; i++)
		(*environment_out)[i] = arena_str(here->step->arena, told.items[i]);
	return true;
}

static bool check_out(const struct here *here, struct error *err)
{
	const char *folder = NULL;
	if (step_place_make_checkout(here->place, &folder, err) &&
		tree_check_out(here->step->tree, folder, err))
		return true;
	return error_wrap(err, "checkout for %s", here->step->name);
}

static bool run_command(const struct here *here, struct driver_run *run, struct error *err)
{
	struct local_command command = {.name = here->step->name,
		.argv = here->step->argv,
		.timeout_ms = here->step->timeout_ms};
	const char **environment = NULL;
	if (!make_environment(here, &environment, err) || !check_out(here, err))
		return false;
	command.environment = environment;
	run->touched = DRIVER_TOUCHED_FAILED;
	return step_place_run(here->place, &command, run, err);
}

/* Once in the life of the service, before the first playbook. */
static bool check_ansible(
	struct workers *workers, const char *const *environment, struct error *err)
{
	if (__atomic_load_n(&workers->ansible_checked, __ATOMIC_RELAXED))
		return true;
	if (!playbook_check_version(environment, workers->cancel_fd, err))
		return false;
	__atomic_store_n(&workers->ansible_checked, true, __ATOMIC_RELAXED);
	return true;
}

static bool run_playbook(const struct here *here, struct driver_run *run, struct error *err)
{
	const char **environment = NULL;
	const struct step_playbook *found = &here->step->playbook;
	const struct workers_options *options = &here->activation->workers->options;
	struct playbook playbook = {.name = here->step->name,
		.path = found->path,
		.inventory = found->inventory,
		.config = found->config,
		.host = found->host,
		.variables = found->variables,
		.variables_len = strlen(found->variables),
		.connection = found->connection,
		.timeout_ms = here->step->timeout_ms,
		.ssh_key_file = options->ssh_key_file,
		.known_hosts_file = options->known_hosts_file,
		.mask = secret_mask};
	if (!make_environment(here, &environment, err) ||
		!check_ansible(here->activation->workers, environment, err) ||
		!check_out(here, err))
		return false;
	playbook.environment = environment;
	bool good = playbook_run(here->place, &playbook, run, err);
	here->activation->away = !good && err->code == ERR_UNREACHABLE;
	return good;
}

/* ---- http ---------------------------------------------------------------------------------- */

struct exchange {
	const struct here *here;
	struct driver_run *run;
	bool ok;
	struct error err;
};

static void tell(const struct driver_run *run, const char *bytes, size_t len)
{
	run->output(run->output_data, bytes, len);
}

/* The service there is busy or starting: that passes, and it has done nothing yet. */
static bool is_busy(int status)
{
	return status == 429 || status == 503;
}

static void judge(void *data, const struct http_answer *answer)
{
	struct exchange *exchange = data;
	const struct step_here *step = exchange->here->step;
	auto_free char *line = mem_printf("%s answered %d in %lld ms\n", step->request.method,
		answer->status, (long long)answer->took_ms);
	exchange->ok = false;
	if (answer->err.code != ERR_NONE) {
		exchange->err = answer->err;
		if (answer->err.code == ERR_UNREACHABLE && !answer->sent)
			exchange->run->touched = DRIVER_TOUCHED_NOTHING;
		(void)error_wrap(&exchange->err, "%s", step->name); /* returns false */
		return;
	}
	tell(exchange->run, answer->body.text, answer->body.len);
	if (answer->body.len && answer->body.text[answer->body.len - 1] != '\n')
		tell(exchange->run, "\n", 1);
	tell(exchange->run, line, strlen(line));
	exchange->ok = answer->status == step->request.status;
	if (exchange->ok)
		return;
	if (is_busy(answer->status))
		exchange->run->touched = DRIVER_TOUCHED_NOTHING;
	(void)error_set(&exchange->err, is_busy(answer->status) ? ERR_UNREACHABLE : ERR_INVALID,
		"%s was answered %d, not %d", step->name, answer->status,
		step->request.status); /* returns false */
}

static bool run_http(const struct here *here, struct driver_run *run, struct error *err)
{
	const struct step_request *request = &here->step->request;
	auto_http_client struct http_client *client = NULL;
	struct exchange exchange = {.here = here, .run = run};
	const struct http_request sent = {.method = request->method,
		.url = request->url,
		.headers = request->headers,
		.body = request->body,
		.body_len = request->body ? strlen(request->body) : 0,
		.timeout_ms = here->step->timeout_ms,
		.max_body = ANSWER_MAX};
	if (!http_client_new(&client, err))
		return false;
	run->touched = DRIVER_TOUCHED_FAILED;
	http_client_start(client, &sent, judge, &exchange);
	while (http_client_run(client, LOOK_MS)) {
		if (!is_cancelled(run))
			continue;
		run->touched = DRIVER_TOUCHED_UNKNOWN;
		return error_set(err, ERR_STOPPED, "%s was stopped", here->step->name);
	}
	*err = exchange.err;
	return exchange.ok;
}

/* ---- any ----------------------------------------------------------------------------------- */

static bool run_kind(const struct here *here, struct driver_run *run, struct error *err)
{
	switch (here->step->kind) {
	case RUN_COMMAND:
		return run_command(here, run, err);
	case RUN_HTTP:
		return run_http(here, run, err);
	case RUN_ANSIBLE:
		return run_playbook(here, run, err);
	case RUN_REMOTE:
		break;
	}
	return error_set(err, ERR_SYSTEM, "step '%s' does not run here", here->step->name);
}

static bool run_in_place(struct here *here, struct driver_run *run, struct error *err)
{
	const struct activation *activation = here->activation;
	const struct step_place_options options = {.steps_dir = activation->workers->steps_dir,
		.name = activation->work->client,
		.wait_ms = here->step->timeout_ms,
		.cancel_fd = run->cancel_fd};
	if (!step_place_open(&options, &here->place, err))
		return error_wrap(err, "step '%s'", here->step->name);
	bool good = !is_cancelled(run) || error_set(err, ERR_STOPPED, "stopped before it began");
	good = good && run_kind(here, run, err);
	step_place_free(here->place);
	return good;
}

/* Where the host can say at once who leads, and of which history, it is asked first. */
static bool host_agrees(struct activation *activation, struct error *err)
{
	struct driver_task *task = &activation->task;
	const struct driver *driver = activation->target->driver;
	struct work *work = activation->work;
	struct error later; /* who does not answer may be made by this very step */
	if (driver->begin || !driver->ask(task->host, &task->state, &later))
		return true;
	if (task->state.epoch > work->epoch)
		return error_set(err, ERR_REFUSED,
			"the host of '%s' follows a newer leader (epoch %lld, ours is %lld)",
			work->client, (long long)task->state.epoch, (long long)work->epoch);
	return task->may_start(task, err);
}

void workers_step_here(struct activation *activation)
{
	struct driver_task *task = &activation->task;
	const struct work *work = activation->work;
	struct here here = {.activation = activation};
	const struct step_wanted wanted = {
		work->fallback_commit[0] ? work->fallback_commit : work->target.commit,
		work->client, work->step};
	task->run.touched = DRIVER_TOUCHED_NOTHING;
	task->ok = host_agrees(activation, &task->err) &&
		   renderer_step(activation->workers->options.renderer, &wanted, &here.step,
			   &task->err) &&
		   run_in_place(&here, &task->run, &task->err);
	step_here_free(here.step);
	workers_conclude(activation);
}
