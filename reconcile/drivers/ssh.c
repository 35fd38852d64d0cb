/*
 * driver `ssh`: the host is a server; what is done there, host.sh does (templates/host.sh).
 */
#include "reconcile/drivers/hosts.h"

static void ssh_begin(struct driver_task *task)
{
	hosts_begin(task->host->hosts, task);
}

static bool ssh_ask(
	const struct driver_host *host, struct driver_state *state_out, struct error *err)
{
	struct driver_task task = {.work = DRIVER_ASK, .host = host};
	if (!hosts_do(host->hosts, &task, err))
		return false;
	*state_out = task.state;
	return true;
}

static bool ssh_has_release(
	const struct driver_host *host, const char *digest, bool *has_out, struct error *err)
{
	struct driver_task task = {.work = DRIVER_ASK, .host = host, .digest = digest};
	if (!hosts_do(host->hosts, &task, err))
		return false;
	*has_out = task.has;
	return true;
}

static bool ssh_compare(const struct driver_host *host, const struct driver_release *release,
	const char **path_out, struct error *err)
{
	struct driver_task task = {.work = DRIVER_COMPARE, .host = host, .release = release};
	if (!hosts_do(host->hosts, &task, err))
		return false;
	*path_out = task.differs;
	return true;
}

static bool ssh_run_step(const struct driver_host *host, const struct driver_release *release,
	const struct driver_step *step, struct driver_run *run, struct error *err)
{
	struct driver_task task = {
		.work = DRIVER_STEP, .host = host, .release = release, .step = step, .run = *run};
	bool good = hosts_do(host->hosts, &task, err);
	run->touched = task.run.touched;
	return good;
}

const struct driver driver_ssh = {
	.name = "ssh",
	.begin = ssh_begin,
	.ask = ssh_ask,
	.has_release = ssh_has_release,
	.compare = ssh_compare,
	.run_step = ssh_run_step,
};
