/* Fleets, their policies, and the commits that people push. */
#include "base/clock.h"
#include "reconcile/plan_parts.h"
#include "tests/sim/sim.h"

#define WALL_BASE 1790000000

static const char *const stage_names[STAGES_MAX] = {"canary", "early", "production"};

static char hex_digit(unsigned value)
{
	return "0123456789abcdef"[value & 15];
}

void release_text(size_t client, uint8_t version, char text[DIGEST_TEXT])
{
	memset(text, 0, DIGEST_TEXT);
	memcpy(text, "sha256:", 7);
	memset(text + 7, '0', 64);
	text[7] = hex_digit(version >> 4);
	text[8] = hex_digit(version);
	text[9] = hex_digit((unsigned)client >> 8);
	text[10] = hex_digit((unsigned)client >> 4);
	text[11] = hex_digit((unsigned)client);
}

static unsigned hex_value(char digit)
{
	return digit >= 'a' ? (unsigned)(digit - 'a') + 10 : (unsigned)(digit - '0');
}

uint8_t release_version(const char *text)
{
	return text[0] ? (uint8_t)(hex_value(text[7]) * 16 + hex_value(text[8])) : VERSION_NONE;
}

const struct sim_commit *world_head(const struct world *world)
{
	return &world->commits[world->commit_count - 1];
}

const struct sim_commit *world_commit(const struct world *world, const char *id)
{
	for (size_t i = 0; i < world->commit_count; i++)
		if (!strcmp(world->commits[i].id, id))
			return &world->commits[i];
	return NULL;
}

int64_t world_wall_s(const struct world *world)
{
	return world->wall_s + world->now_ms / 1000;
}

/* ---- plans ------------------------------------------------------------------------------------
 */

const struct sim_commit *world_last_deployed(const struct world *world, const struct status *status)
{
	const struct sim_commit *newest = NULL;
	for (size_t i = 0; i < status->rollout_count; i++) {
		const struct rollout_record *record = status->rollouts[i];
		const struct sim_commit *commit = world_commit(world, record->commit);
		if (record->state == ROLLOUT_SUCCEEDED && !record->by_hand && commit &&
			!commit->gone && (!newest || commit > newest))
			newest = commit;
	}
	return newest;
}

static void fill_policy(const struct world *world, const struct sim_commit *commit,
	struct policy_stage *stages, struct policy *policy)
{
	*policy = (struct policy){.stages = stages,
		.stage_count = world->stage_count,
		.on_failure = commit->roll_back ? ON_FAILURE_ROLLBACK : ON_FAILURE_HOLD,
		.verify_interval_ms = commit->interval_ms,
		.verify_healthy = commit->healthy,
		.verify_timeout_ms = commit->timeout_ms,
		.canary_coverage = COVERAGE_OFF,
		.drift = DRIFT_OFF,
		.max_changed = commit->max_changed};
	policy->driver.retries = commit->retries;
	for (size_t i = 0; i < world->stage_count; i++) {
		const struct sim_stage *stage = &commit->stages[i];
		stages[i] = (struct policy_stage){.name = stage_names[i],
			.batch = stage->batch,
			.wave_pause_ms = stage->wave_pause_ms,
			.bake_ms = stage->bake_ms,
			.rollback_bake_ms = stage->rollback_bake_ms,
			.manual = stage->manual,
			.approval_expires_ms = stage->expires_ms,
			.max_failures = stage->max_failures,
			.max_unreachable = stage->max_unreachable};
	}
}

static void take_pipelines(struct plan *plan, const struct sim_commit *commit)
{
	plan->restore = commit->restore;
	(void)snprintf(plan->onboard, sizeof(plan->onboard), "%s", commit->onboard); /* fits */
	(void)snprintf(plan->upgrade, sizeof(plan->upgrade), "%s", commit->upgrade); /* fits */
}

/* The stricter of the commit's policy and that of the last deployed one. */
static void take_policy(
	struct world *world, const struct sim_commit *commit, struct plan_work *work)
{
	const struct sim_commit *base = world_last_deployed(world, work->request->status);
	struct policy_stage stages[2][STAGES_MAX];
	struct policy policies[2];
	bool ratchets = base && base->policy != commit->policy;
	fill_policy(world, commit, stages[0], &policies[0]);
	if (base) {
		memcpy(work->plan->base, base->id, sizeof(work->plan->base));
		fill_policy(world, base, stages[1], &policies[1]);
	}
	work->plan->fleet_changed = ratchets;
	plan_take_policy(work, &policies[0], ratchets ? &policies[1] : NULL);
	take_pipelines(work->plan, commit);
}

struct desk {
	struct client *clients;
	const struct client **by_name;
	struct host *hosts;
	struct plan_wanted *wanted;
	size_t *stages;
	const struct node *vars;
};

/* No clock of a run comes that far. */
static void pin(struct client *client, const struct node *place)
{
	client->pin.until = "2126-12-31";
	client->pin.end_s = WALL_BASE + (int64_t)100 * 31536000;
	client->pin.reason = "it is moved next week";
	client->pin.place = place;
}

static void put_client(struct desk *desk, struct fleet *fleet, const struct sim_client *client,
	const struct sim_commit *commit)
{
	uint8_t version = commit->wanted[client_index(client->name)];
	size_t at = fleet->client_count++;
	struct plan_wanted *wanted = &desk->wanted[at];
	desk->hosts[at] = (struct host){.name = client->name, .vars = desk->vars};
	desk->clients[at] = (struct client){.name = client->name,
		.host = &desk->hosts[at],
		.stage = client->stage,
		.root = client->name};
	if (commit->pinned[client_index(client->name)])
		pin(&desk->clients[at], desk->vars);
	desk->by_name[at] = &desk->clients[at];
	desk->stages[at] = client->stage;
	wanted->key[0] = wanted->checks[0] = '\0';
	wanted->app_count = 0;
	release_text(client_index(client->name), version, wanted->digest);
	if (!client->no_checks)
		release_text(client_index(client->name), 0xc, wanted->checks);
}

/* Of a host's variables only the place of its name is asked for. */
static const struct node *make_vars(struct arena *arena)
{
	const struct node place = {.kind = NODE_STRING, .file = "clients.yml", .line = 1};
	const struct node_entry entry = {.key = "client_name",
		.key_len = strlen("client_name"),
		.value = node_new(arena, NODE_STRING, &place)};
	return node_new_map(arena, &entry, 1, &place);
}

static int by_stage(const void *a, const void *b)
{
	const struct plan_entry *left = a, *right = b;
	int order = (left->stage > right->stage) - (left->stage < right->stage);
	return order ? order : strcmp(left->client, right->client);
}

struct plan *world_plan(struct world *world, const struct sim_commit *commit,
	const struct status *status, const char *only)
{
	struct arena *arena = arena_new(ARENA_PLAIN, 0);
	size_t count = world->client_count;
	struct desk desk = {.clients = arena_array(arena, count, sizeof(*desk.clients)),
		.by_name = arena_array(arena, count, sizeof(*desk.by_name)),
		.hosts = arena_array(arena, count, sizeof(*desk.hosts)),
		.wanted = arena_array(arena, count, sizeof(*desk.wanted)),
		.stages = arena_array(arena, count, sizeof(*desk.stages)),
		.vars = make_vars(arena)};
	struct policy policy = {0};
	struct fleet fleet = {.policy = &policy, .clients = desk.clients, .by_name = desk.by_name};
	struct plan_request request = {.status = status, .only = only};
	struct problems problems = {0};
	struct plan_work work = {.request = &request,
		.problems = &problems,
		.arena = arena,
		.wanted = desk.wanted,
		.stages = desk.stages};
	for (size_t i = 0; i < world->client_count; i++)
		if (commit->wanted[i] != VERSION_NONE)
			put_client(&desk, &fleet, &world->clients[i], commit);
	work.target.fleet = &fleet;
	memcpy(request.commit.hex, commit->id, sizeof(request.commit.hex));
	struct plan *plan = work.plan = mem_zero(1, sizeof(*plan));
	memcpy(plan->target, commit->id, sizeof(plan->target));
	(void)snprintf(plan->digest, sizeof(plan->digest), "p-%.8s", commit->id);
	take_policy(world, commit, &work);
	demand(world, plan_compare_records(&work), "the plan cannot be made");
	if (plan->entry_count > 1)
		qsort(plan->entries, plan->entry_count, sizeof(*plan->entries), by_stage);
	plan_judge(&work);
	problems_clear(&problems);
	arena_free(work.arena);
	return plan;
}

/* ---- commits ----------------------------------------------------------------------------------
 */

static struct sim_commit *add_commit(struct world *world)
{
	struct sim_commit *commit = &world->commits[world->commit_count];
	const struct sim_commit *before = world->commit_count ? world_head(world) : NULL;
	if (before)
		*commit = *before;
	memset(commit->id, hex_digit((unsigned)world->commit_count), OID_HEX);
	commit->id[OID_HEX] = '\0';
	commit->bad = commit->gone = false;
	world->commit_count++;
	return commit;
}

static void choose_batches(struct world *world, struct batches *batches)
{
	batches->count = 1 + chance(world, STREAM_WORLD, 200) + chance(world, STREAM_WORLD, 100);
	for (size_t i = 0; i < batches->count; i++) {
		batches->items[i].percent = chance(world, STREAM_WORLD, 500);
		batches->items[i].size =
			1 + choose(world, STREAM_WORLD, batches->items[i].percent ? 100 : 4);
	}
}

static void choose_stage(struct world *world, struct sim_stage *stage)
{
	static const unsigned bakes[] = {0, 400, 1000, 3000};
	choose_batches(world, &stage->batch);
	stage->bake_ms = bakes[choose(world, STREAM_WORLD, ARRAY_LEN(bakes))];
	stage->rollback_bake_ms = chance(world, STREAM_WORLD, 500) ? 200 : 0;
	stage->wave_pause_ms = chance(world, STREAM_WORLD, 200) ? 500 : 0;
	stage->max_failures = chance(world, STREAM_WORLD, 250);
	stage->max_unreachable = chance(world, STREAM_WORLD, 200);
	stage->manual = chance(world, STREAM_WORLD, 100);
	stage->expires_ms = chance(world, STREAM_WORLD, 400) ? 60000 : 0;
}

/* Half of the fleets have steps. */
static void choose_pipelines(struct world *world, struct sim_commit *commit)
{
	static const struct {
		const char *onboard, *upgrade;
		bool first; /* a backup comes first: it may be restored */
	} pipelines[] = {{"", "", false}, {"", "", false}, {"", "", false},
		{"deploy verify backup", "backup deploy verify", true},
		{"deploy verify backup", "backup deploy verify", true},
		{"setup deploy verify", "drain backup deploy fill verify greet", true},
		{"deploy setup verify backup", "deploy verify backup", false}};
	static const enum restore_when restores[] = {RESTORE_NEVER, RESTORE_ALWAYS, RESTORE_ASK};
	uint32_t kind = choose(world, STREAM_WORLD, ARRAY_LEN(pipelines));
	uint32_t restore = choose(world, STREAM_WORLD, ARRAY_LEN(restores));
	commit->onboard = pipelines[kind].onboard;
	commit->upgrade = pipelines[kind].upgrade;
	commit->restore = pipelines[kind].first ? restores[restore] : RESTORE_NEVER;
}

static void choose_policy(struct world *world, struct sim_commit *commit)
{
	for (size_t i = 0; i < world->stage_count; i++)
		choose_stage(world, &commit->stages[i]);
	commit->retries = choose(world, STREAM_WORLD, 3);
	commit->max_changed = chance(world, STREAM_WORLD, 50) ? 60 : 100;
	commit->roll_back = !chance(world, STREAM_WORLD, 80);
	commit->interval_ms = 100;
	commit->healthy = 1 + choose(world, STREAM_WORLD, 3);
	commit->timeout_ms = 1500;
	choose_pipelines(world, commit);
	commit->policy = (uint8_t)world->commit_count;
}

static enum quality choose_quality(struct world *world)
{
	static const enum quality kinds[] = {
		QUALITY_SICK, QUALITY_BROKEN, QUALITY_FLAKY, QUALITY_LATE};
	if (!chance(world, STREAM_WORLD, 140))
		return QUALITY_GOOD;
	return kinds[choose(world, STREAM_WORLD, ARRAY_LEN(kinds))];
}

/* Which clients a commit changes: all, few, or only some stage's. */
static bool is_changed(struct world *world, unsigned kind, const struct sim_client *client)
{
	if (kind == 1)
		return chance(world, STREAM_WORLD, 300);
	if (kind == 2)
		return client->stage + 1 == world->stage_count;
	if (kind == 3)
		return client->stage == 0;
	return true;
}

/* `aviary_pin` of a client comes or goes. */
static void change_pin(struct world *world, struct sim_commit *commit)
{
	size_t index = choose(world, STREAM_WORLD, (uint32_t)world->client_count);
	commit->pinned[index] = !commit->pinned[index];
	tell(world, "commit %.7s %s %s", commit->id, commit->pinned[index] ? "pins" : "unpins",
		world->clients[index].name);
}

void world_push_commit(struct world *world, bool rescue)
{
	uint8_t version = (uint8_t)world->commit_count;
	struct sim_commit *commit = add_commit(world);
	unsigned kind = rescue ? 0 : choose(world, STREAM_WORLD, 6);
	if (!rescue && chance(world, STREAM_WORLD, 300))
		choose_policy(world, commit);
	if (rescue)
		memset(commit->pinned, 0, sizeof(commit->pinned));
	else if (chance(world, STREAM_WORLD, 150))
		change_pin(world, commit);
	for (size_t i = 0; i < world->client_count; i++) {
		struct sim_client *client = &world->clients[i];
		client->quality[version] = QUALITY_GOOD;
		if (!is_changed(world, kind, client))
			continue;
		commit->wanted[i] = version;
		if (rescue)
			client->way_back = QUALITY_GOOD;
		else
			client->quality[version] = choose_quality(world);
	}
	if (rescue)
		commit->roll_back = true;
	tell(world, "commit %.7s is pushed", commit->id);
}

void world_push_bad(struct world *world)
{
	struct sim_commit *commit = add_commit(world);
	commit->bad = true;
	tell(world, "commit %.7s is pushed, which does not parse", commit->id);
}

void world_push_revert(struct world *world)
{
	size_t older = choose(world, STREAM_WORLD, (uint32_t)world->commit_count);
	struct sim_commit *commit = add_commit(world);
	memcpy(commit->wanted, world->commits[older].wanted, sizeof(commit->wanted));
	tell(world, "commit %.7s is pushed, which wants again what %.7s wanted", commit->id,
		world->commits[older].id);
}

void world_push_forced(struct world *world)
{
	size_t lost = 1 + choose(world, STREAM_WORLD, 2);
	for (size_t i = world->commit_count; i > 1 && lost; i--, lost--)
		world->commits[i - 1].gone = true;
	tell(world, "the branch is rewritten: the newest commits are gone");
	world_push_commit(world, false);
}

/* ---- the beginning ----------------------------------------------------------------------------
 */

/* Mostly few clients: what breaks breaks with few, and few are fast. */
static size_t choose_size(struct world *world)
{
	uint32_t kind = choose(world, STREAM_WORLD, 1000);
	if (kind >= 999)
		return 1 + choose(world, STREAM_WORLD, CLIENTS_MAX);
	if (kind >= 960)
		return 1 + choose(world, STREAM_WORLD, 24);
	return 1 + choose(world, STREAM_WORLD, 6);
}

static void add_record(struct world *world, struct sim_client *client)
{
	struct client_record record = {.client = client->name,
		.state = CLIENT_HEALTHY,
		.root = client->name,
		.host = client->name,
		.stage = (char *)(uintptr_t)stage_names[client->stage]}; /* only copied */
	release_text(client_index(client->name), 0, record.current.release);
	memcpy(record.current.commit, world->commits[0].id, sizeof(record.current.commit));
	memcpy(record.current.rollout, "20260101-000000-0000000", 24);
	record.known_good = record.current;
	record.good = &record.known_good;
	record.good_count = 1;
	status_put_client(world->branch, &record);
	client->host.version = client->host.data = 0;
	memcpy(client->host.rollout, record.current.rollout, sizeof(client->host.rollout));
}

static void add_client(struct world *world, size_t index, bool new_fleet)
{
	struct sim_client *client = &world->clients[index];
	(void)snprintf(client->name, sizeof(client->name), "c%03u", (unsigned)index % 1000);
	client->no_checks = chance(world, STREAM_WORLD, 60);
	client->way_back = QUALITY_GOOD;
	if (chance(world, STREAM_WORLD, 100))
		client->way_back = chance(world, STREAM_WORLD, 500) ? QUALITY_SICK : QUALITY_BROKEN;
	client->host.version = VERSION_NONE;
	if (!new_fleet && !chance(world, STREAM_WORLD, 60))
		add_record(world, client);
}

static void place_clients(struct world *world)
{
	size_t canaries = 1 + choose(world, STREAM_WORLD, 2);
	for (size_t i = 0; i < world->client_count; i++) {
		size_t stage = i < canaries ? 0 : world->stage_count - 1;
		if (i >= canaries && world->stage_count == 3 && i < canaries * 2)
			stage = 1;
		world->clients[i].stage = stage;
	}
}

void world_reset(struct world *world, uint64_t seed, bool in_texts)
{
	struct choices choices[STREAMS];
	memcpy(choices, world->choices, sizeof(choices));
	memset(world, 0, offsetof(struct world, commits));
	memset(&world->commits[0], 0, sizeof(world->commits[0])); /* the others are copies of it */
	memcpy(world->choices, choices, sizeof(choices));
	world->seed = seed;
	world->in_texts = in_texts;
}

void world_begin(struct world *world)
{
	world->branch = status_new();
	world->now_ms = 1000;
	world->wall_s = WALL_BASE;
	world->webhook_ms = world->again_ms = world->ghost_ms = NEVER;
	world->service_count = 1;
	world->service = &world->services[0];
	for (unsigned i = 0; i < SERVICES; i++)
		world->services[i].number = i;
	world->trusts_plan = chance(world, STREAM_WORLD, 300);
	world->client_count = choose_size(world);
	memset(world->clients, 0, world->client_count * sizeof(*world->clients));
	world->stage_count =
		2 + chance(world, STREAM_WORLD, 250) - chance(world, STREAM_WORLD, 100);
	place_clients(world);
	choose_policy(world, add_commit(world));
	bool new_fleet = chance(world, STREAM_WORLD, 60);
	for (size_t i = 0; i < world->client_count; i++)
		add_client(world, i, new_fleet);
	world->event_limit = 3000 + 400 * world->client_count;
	world_push_commit(world, false);
}

void world_clear(struct world *world)
{
	services_clear(world);
	hosts_clear(world);
	remote_clear(world);
	replays_clear(world);
}
