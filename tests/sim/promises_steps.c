/* Promises about steps: what comes before what, and when data come back. */
#include "tests/lib/facts.h"
#include "tests/sim/promises.h"

static const char *pipeline_of(const struct world *world, size_t member)
{
	const struct sim_commit *commit = world->commit;
	bool onboard = world_rollout(world)->clients[member].record->action == PLAN_ONBOARD;
	return onboard ? commit->onboard : commit->upgrade;
}

size_t deploy_at(const struct world *world, size_t member)
{
	return pipeline_find(pipeline_of(world, member), STEP_DEPLOY);
}

bool has_begun(const struct world *world, const struct sim_client *client)
{
	return client->watch.ran || !strcmp(client->host.begun, world->rollout);
}

bool is_fresh(const struct world *world, const struct sim_client *client)
{
	return !client->watch.unproved && strcmp(client->host.rollout, world->rollout) != 0;
}

/* ---- in their order ---------------------------------------------------------------------------
 */

static void check_step(struct world *world, size_t member)
{
	struct sim_client *client = world_member(world, member);
	struct watch *watch = &client->watch;
	demand(world, !hosts_are_busy(world, client_index(client->name), world->service),
		"promise 6, crash-safe: two steps at once on %s", client->name);
	check_recorded_first(world, client);
	check_may_start(world, client);
	demand(world, !watch->failed, "steps: %s failed, and a step runs", client->name);
	demand(world, !world->superseded && !world->aborted, "superseded: a step starts on %s",
		client->name);
	watch->stepped = true;
	watch->fresh = is_fresh(world, client);
}

void promises_on_step(struct world *world, const struct service *service, size_t member)
{
	check_leads(world, service);
	if (service == world->service)
		check_step(world, member);
}

/* After a restart a pipeline begins anew, or behind what the host runs. */
static void check_order(struct world *world, size_t member)
{
	const struct sim_client *client = world_member(world, member);
	const struct watch *watch = &client->watch;
	const struct rollout *rollout = world_rollout(world);
	size_t deploy = deploy_at(world, member);
	char name[STEP_NAME] = "", wanted[STEP_NAME] = "";
	(void)rollout_step_name(rollout, &rollout->clients[member], name); /* past the end: "" */
	(void)pipeline_entry(pipeline_of(world, member), watch->entry, wanted); /* likewise */
	demand(world, !strcmp(name, wanted) && name[0],
		"steps: '%s' runs on %s when it is the turn of '%s'", name, client->name, wanted);
	demand(world, watch->fresh || watch->entry > deploy,
		"steps: '%s' of before the activation runs on %s after it", name, client->name);
	demand(world,
		!watch->attempts || client->host.away || world->now_ms >= watch->failed_ms + 1000,
		"retries: '%s' is tried again at once on %s", name, client->name);
	demand(world, !watch->fresh || watch->entry < deploy,
		"steps: '%s' of after the activation runs on %s before it", name, client->name);
}

/* How far it came in its pipeline, from events alone. */
void watch_event(struct watch *watch, const struct rollout_event *event)
{
	if (event->kind == EVENT_RUNS || event->kind == EVENT_UNSURE)
		watch->unknown = !event->ok;
	if (event->kind == EVENT_RUNS && event->ok)
		watch->untouched = event->runs == RUNS_UNTOUCHED;
	if (event->kind == EVENT_DEPLOYED)
		watch->unknown = false;
	if (event->kind != EVENT_STEP && event->kind != EVENT_DEPLOYED)
		return;
	if (event->ok && (watch->phase == PHASE_STEP || watch->phase == PHASE_DEPLOY)) {
		watch->attempts = 0;
		watch->entry++;
	}
}

/* Its pipeline begins with this event. */
static bool is_begin(const struct watch *watch)
{
	return watch->phase == PHASE_INTENT || (watch->phase == PHASE_RESUME && watch->untouched);
}

void watch_step(struct world *world, size_t member)
{
	struct watch *watch = &world_member(world, member)->watch;
	enum rollout_phase to = world_rollout(world)->clients[member].phase;
	if (to == watch->phase && !watch->stepped && !world_member(world, member)->no_checks)
		return; /* as most often */
	size_t verify = pipeline_find(pipeline_of(world, member), STEP_VERIFY);
	if (watch->phase == PHASE_RESUME && (to == PHASE_VERIFY || to == PHASE_STEP))
		watch->attempts = 0;
	if (to != watch->phase && (to == PHASE_PENDING || to == PHASE_INTENT))
		watch->entry = 0;
	else if (watch->phase == PHASE_VERIFY && (to == PHASE_STEP || to == PHASE_HEALTHY))
		watch->entry = verify + 1;
	else if (to != watch->phase && to == PHASE_VERIFY)
		watch->entry = verify;
	else if (watch->phase == PHASE_RESUME && to == PHASE_STEP)
		watch->entry = watch->untouched ? 0 : deploy_at(world, member) + 1;
	else if (to != watch->phase && to == PHASE_DEPLOY)
		watch->entry = deploy_at(world, member);
	if (to != watch->phase && to > PHASE_RESUME && is_begin(watch) && watch->unproved)
		watch->entry = verify;
	bool unasked = world_member(world, member)->no_checks; /* its verification takes no time */
	if (unasked && watch->entry == verify && (to == PHASE_STEP || to == PHASE_HEALTHY))
		watch->entry++;
	if (watch->stepped)
		check_order(world, member);
	watch->stepped = false;
}

/* ---- backups ----------------------------------------------------------------------------------
 */

void check_backup(struct world *world, size_t member)
{
	const struct sim_client *client = world_member(world, member);
	demand(world,
		!pipeline_backs_up_first(pipeline_of(world, member)) || client->watch.backed_up,
		"steps: %s is activated before its backup is on the branch", client->name);
	demand(world, client->watch.entry == deploy_at(world, member),
		"steps: %s is activated before the steps that come first", client->name);
}

static uint8_t data_of(const struct sim_client *client, const char *backup)
{
	for (size_t i = 0; i < BACKUPS_MAX; i++)
		if (!strcmp(client->backups[i].name, backup))
			return client->backups[i].data;
	return VERSION_NONE;
}

void accept_backup(struct world *world, struct sim_client *client, const struct fact *fact)
{
	const char *backup = fact_trailer(fact, "Backup");
	const char *result = fact_trailer(fact, "Result");
	const struct client_record *record = fact->client;
	bool own = backup[0] && strstr(backup, world->rollout);
	if (!result[0] && own && record->restore == RESTORE_NO && !record->going_back)
		client->watch.backed_up = true;
	if (record->backup.release[0] && data_of(client, record->backup.name) != VERSION_NONE)
		demand(world,
			data_of(client, record->backup.name) ==
				release_version(record->backup.release),
			"restore: the backup that the record of %s names holds other data",
			client->name);
	if (!strcmp(result, "rolled-back") && client->host.restored)
		demand(world, client->host.data == client->host.version,
			"restore: %s is back with the data of another release", client->name);
}

/* ---- data -------------------------------------------------------------------------------------
 */

static bool has_backup(const struct world *world, const struct sim_client *client)
{
	const struct client_record *record =
		status_client(world->service->loop->status, client->name);
	return record && record->known_good.release[0] &&
	       !strcmp(record->backup.release, record->known_good.release);
}

static bool is_allowed(const struct world *world, const struct sim_client *client)
{
	const struct rollout_record *record = status_rollout(world->branch, world->rollout);
	for (size_t i = 0; record && i < record->approval_count; i++)
		if (!strncmp(record->approvals[i].what, APPROVES_RESTORE,
			    strlen(APPROVES_RESTORE)) &&
			(strstr(record->approvals[i].what, client->name) ||
				strstr(record->approvals[i].what, " more")))
			return true;
	return false;
}

bool check_unanswered(const struct world *world, size_t member)
{
	const struct rollout *rollout = world_rollout(world);
	return world->commit->restore == RESTORE_ASK &&
	       rollout->clients[member].restore == RESTORE_ASKED &&
	       (world->superseded || rollout->aborted);
}

void check_restore(struct world *world, size_t member, enum rollout_phase from, bool asks)
{
	const struct sim_client *client = world_member(world, member);
	const struct rollout_client *about = &world_rollout(world)->clients[member];
	enum restore_when when = world->commit->restore;
	bool restores = about->restore == RESTORE_YES;
	bool may = has_backup(world, client) && (has_begun(world, client) || client->watch.unknown);
	bool must = has_backup(world, client) && has_begun(world, client) &&
		    !client->watch.unknown && !world->unplanned;
	bool resumed = from == PHASE_RESUME; /* what was decided before goes on */
	demand(world, from != PHASE_STEP || !is_fresh(world, client),
		"steps: %s goes back, and nothing was touched", client->name);
	bool interrupted = resumed && client->host.by_way_back && client->host.restored &&
			   !strcmp(client->host.rollout, world->rollout);
	/* Neither the host nor the branch nor a commit could tell. */
	bool untold = world->unplanned && client->watch.unknown;
	demand(world, !interrupted || restores || untold,
		"restore: the data of %s are left as a crash left them", client->name);
	if (world->unplanned)
		return; /* its commit and its events are gone, and what they said of data */
	if (asks) {
		demand(world, when == RESTORE_ASK && may, "restore: %s asks for no reason",
			client->name);
		return;
	}
	demand(world, !restores || may, "restore: %s gets data back without need", client->name);
	demand(world, !restores || when == RESTORE_ALWAYS || is_allowed(world, client),
		"restore: %s gets data back, and nobody allowed it", client->name);
	demand(world, !must || resumed || restores || when == RESTORE_NEVER,
		"restore: %s goes back without its data", client->name);
}
