#include "reconcile/status.h"
#include "base/clock.h"
#include "reconcile/status_parts.h"
#include "reconcile/status_share.h"

static const char *const client_states[CLIENT_STATES] = {"onboarding", "deploying", "healthy",
	"rolled-back", "failed", "paused", "waiting", "offboarding", "offboarded"};
static const char *const plan_actions[PLAN_ACTIONS] = {
	"unchanged", "onboard", "upgrade", "rollback", "vanished", "held", "paused", "pinned"};
static const char *const rollout_states[ROLLOUT_STATES] = {
	"running", "waiting", "succeeded", "failed", "refused", "superseded", "aborted"};
static const char *const stage_states[STAGE_STATES] = {"pending", "running", "baking", "waiting",
	"succeeded", "failed", "skipped", "superseded", "aborted"};
static const char *const member_states[MEMBER_STATES] = {"pending", "deploying", "verifying",
	"waiting", "healthy", "rolled-back", "failed", "skipped", "superseded"};

static const char *const restore_choices[RESTORE_CHOICES] = {"no", "asked", "yes"};

const char *restore_choice_name(enum restore_choice choice)
{
	return restore_choices[choice];
}

const char *client_state_name(enum client_state state)
{
	return client_states[state];
}

const char *plan_action_name(enum plan_action action)
{
	return plan_actions[action];
}

const char *rollout_state_name(enum rollout_state state)
{
	return rollout_states[state];
}

const char *stage_state_name(enum stage_state state)
{
	return stage_states[state];
}

const char *member_state_name(enum member_state state)
{
	return member_states[state];
}

/* ---- records --------------------------------------------------------------------------------- */

void client_record_clear(struct client_record *record)
{
	free(record->client);
	free(record->host);
	free(record->root);
	free(record->stage);
	free(record->rollback_tag);
	free(record->going_back);
	free(record->hold.reason);
	pause_clear(&record->pause);
	pin_clear(&record->pin);
	drift_clear(&record->drift);
	free(record->good);
	for (size_t i = 0; i < record->app_count; i++) {
		free(record->apps[i].name);
		free(record->apps[i].version);
	}
	free(record->apps);
	*record = (struct client_record){0};
}

void client_record_copy(struct client_record *to, const struct client_record *from)
{
	*to = *from;
	to->client = mem_dup_str(from->client);
	to->host = mem_dup_str(from->host);
	to->root = mem_dup_str(from->root);
	to->stage = mem_dup_str(from->stage);
	to->rollback_tag = mem_dup_str(from->rollback_tag);
	to->going_back = mem_dup_str(from->going_back);
	to->hold.reason = mem_dup_str(from->hold.reason);
	pause_copy(&to->pause, &from->pause);
	pin_copy(&to->pin, &from->pin);
	drift_copy(&to->drift, &from->drift);
	to->good = NULL;
	if (from->good_count) {
		to->good = mem_zero(from->good_count, sizeof(*to->good));
		memcpy(to->good, from->good, from->good_count * sizeof(*to->good));
	}
	to->apps = NULL;
	if (from->app_count)
		to->apps = mem_zero(from->app_count, sizeof(*to->apps));
	for (size_t i = 0; i < from->app_count; i++) {
		to->apps[i].name = mem_dup_str(from->apps[i].name);
		to->apps[i].version = mem_dup_str(from->apps[i].version);
	}
}

static void stage_record_clear(struct stage_record *stage)
{
	for (size_t i = 0; i < stage->member_count; i++) {
		free(stage->members[i].client);
		strlist_clear(&stage->members[i].reasons);
	}
	free(stage->members);
	free(stage->name);
}

void rollout_record_clear(struct rollout_record *record)
{
	for (size_t i = 0; i < record->stage_count; i++)
		stage_record_clear(&record->stages[i]);
	free(record->stages);
	said_clear(record);
	strlist_clear(&record->notes);
	free(record->over_limit);
	free(record->waits_for);
	strlist_clear(&record->reasons);
	*record = (struct rollout_record){0};
}

static void stage_record_copy(struct stage_record *to, const struct stage_record *from)
{
	*to = *from;
	to->name = mem_dup_str(from->name);
	to->members = mem_zero(from->member_count, sizeof(*to->members));
	for (size_t i = 0; i < from->member_count; i++) {
		to->members[i] = from->members[i];
		to->members[i].client = mem_dup_str(from->members[i].client);
		to->members[i].reasons = (struct strlist)STRLIST_INIT;
		strlist_copy(&to->members[i].reasons, &from->members[i].reasons);
	}
}

void rollout_record_copy(struct rollout_record *to, const struct rollout_record *from)
{
	*to = *from;
	to->reasons = (struct strlist)STRLIST_INIT;
	strlist_copy(&to->reasons, &from->reasons);
	to->notes = (struct strlist)STRLIST_INIT;
	strlist_copy(&to->notes, &from->notes);
	to->over_limit = mem_dup_str(from->over_limit);
	to->waits_for = mem_dup_str(from->waits_for);
	said_copy(to, from);
	to->stages = mem_zero(from->stage_count, sizeof(*to->stages));
	for (size_t i = 0; i < from->stage_count; i++)
		stage_record_copy(&to->stages[i], &from->stages[i]);
}

/* ---- the whole ------------------------------------------------------------------------------- */

struct status *status_new(void)
{
	return mem_zero(1, sizeof(struct status));
}

void status_free(struct status *status)
{
	if (!status)
		return;
	for (size_t i = 0; i < status->client_count; i++)
		client_unshare(status->clients[i]);
	for (size_t i = 0; i < status->rollout_count; i++)
		rollout_unshare(status->rollouts[i]);
	free(status->clients);
	free(status->rollouts);
	free(status->digest_keys);
	asked_record_clear(&status->asked);
	free(status);
}

struct status *status_copy(const struct status *status)
{
	struct status *copy = status_new();
	*copy = *status;
	copy->client_capacity = status->client_count;
	copy->rollout_capacity = status->rollout_count;
	asked_record_copy(&copy->asked, &status->asked);
	copy->clients = mem_zero(status->client_count, sizeof(*copy->clients));
	copy->rollouts = mem_zero(status->rollout_count, sizeof(*copy->rollouts));
	for (size_t i = 0; i < status->client_count; i++)
		copy->clients[i] = client_share(status->clients[i]);
	for (size_t i = 0; i < status->rollout_count; i++)
		copy->rollouts[i] = rollout_share(status->rollouts[i]);
	if (status->digest_keys)
		copy->digest_keys = mem_dup(status->digest_keys, status->digest_keys_len);
	return copy;
}

/* Position of a client, or where it belongs. */
static size_t client_position(const struct status *status, const char *client, bool *found)
{
	size_t low = 0, high = status->client_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = strcmp(status->clients[middle]->client, client);
		if (!order) {
			*found = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*found = false;
	return low;
}

const struct client_record *status_client(const struct status *status, const char *client)
{
	bool found;
	size_t at = client_position(status, client, &found);
	return found ? status->clients[at] : NULL;
}

const struct rollout_record *status_rollout(const struct status *status, const char *id)
{
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!strcmp(status->rollouts[i]->id, id))
			return status->rollouts[i];
	return NULL;
}

const struct rollout_record *status_running(const struct status *status)
{
	for (size_t i = 0; i < status->rollout_count; i++)
		if (!rollout_state_is_final(status->rollouts[i]->state))
			return status->rollouts[i];
	return NULL;
}

void status_put_client(struct status *status, const struct client_record *record)
{
	bool found;
	size_t at = client_position(status, record->client, &found);
	const struct client_record *copy = client_share_copy(record);
	if (found) {
		client_unshare(status->clients[at]);
	} else {
		mem_grow(status->clients, status->client_count, status->client_capacity);
		memmove(&status->clients[at + 1], &status->clients[at],
			(status->client_count - at) * sizeof(*status->clients));
		status->client_count++;
	}
	status->clients[at] = copy;
}

void status_put_rollout(struct status *status, const struct rollout_record *record)
{
	const struct rollout_record *copy = rollout_share_copy(record);
	size_t at = 0;
	while (at < status->rollout_count && strcmp(status->rollouts[at]->id, record->id) > 0)
		at++;
	if (at < status->rollout_count && !strcmp(status->rollouts[at]->id, record->id)) {
		rollout_unshare(status->rollouts[at]);
	} else {
		mem_grow(status->rollouts, status->rollout_count, status->rollout_capacity);
		memmove(&status->rollouts[at + 1], &status->rollouts[at],
			(status->rollout_count - at) * sizeof(*status->rollouts));
		status->rollout_count++;
	}
	status->rollouts[at] = copy;
	/* As in the tree (fact.c), which keeps the newest ones, and one that runs. */
	for (size_t i = status->rollout_count; i-- > STATUS_ROLLOUTS_MAX;) {
		if (!rollout_state_is_final(status->rollouts[i]->state))
			continue;
		rollout_unshare(status->rollouts[i]);
		memmove(&status->rollouts[i], &status->rollouts[i + 1],
			(status->rollout_count - i - 1) * sizeof(*status->rollouts));
		status->rollout_count--;
	}
}

static void take_newest(const char *id, const char **newest, int64_t *newest_s)
{
	if (strcmp(id, *newest) > 0 && clock_parse_id(id, newest_s))
		*newest = id;
}

/* The latest time that an id tells. Hosts may have told later ones than the tree has records of. */
static int64_t newest_id_s(const struct status *status)
{
	const char *newest = "";
	int64_t newest_s = 0;
	if (status->rollout_count)
		take_newest(status->rollouts[0]->id, &newest, &newest_s);
	for (size_t i = 0; i < status->client_count; i++)
		take_newest(status->clients[i]->current.rollout, &newest, &newest_s);
	return newest_s;
}

void rollout_id_make(
	const struct status *status, int64_t wall_s, const char *commit, char id_out[ROLLOUT_TEXT])
{
	char time_text[CLOCK_TEXT_SIZE];
	int64_t newest_s = newest_id_s(status);
	int64_t id_s = wall_s > newest_s ? wall_s : newest_s + 1; /* a clock may jump back */
	(void)snprintf(
		id_out, ROLLOUT_TEXT, "%.15s-%.7s", clock_format_id(id_s, time_text), commit);
}

/* ---- reading the branch ---------------------------------------------------------------------- */

static bool read_yaml(struct tree *tree, const char *path, struct arena *arena,
	const struct node **node_out, struct error *err)
{
	const struct node_options options = {.rules = NODE_CORE12};
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	return tree_read(tree, path, &text, NULL, err) &&
	       node_parse_yaml(arena, path, text.text, text.len, &options, node_out, err);
}

static bool load_client(
	struct tree *tree, const char *path, struct status *status, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *node;
	struct client_record record = {0};
	if (!read_yaml(tree, path, arena, &node, err) ||
		!client_record_from_node(node, &record, err))
		return false;
	status_put_client(status, &record);
	client_record_clear(&record);
	return true;
}

static bool load_rollout(
	struct tree *tree, const char *path, struct status *status, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	const struct node *node;
	struct rollout_record record = {0};
	if (!read_yaml(tree, path, arena, &node, err) ||
		!rollout_record_from_node(node, &record, err))
		return false;
	status_put_rollout(status, &record);
	rollout_record_clear(&record);
	return true;
}

static bool load_folder(struct tree *tree, const char *folder, struct status *status,
	bool (*load)(struct tree *, const char *, struct status *, struct error *),
	struct error *err)
{
	auto_tree_entries struct tree_entries entries = {0};
	if (!tree_list(tree, folder, &entries, err))
		return err->code == ERR_NOT_FOUND; /* no record of that kind yet */
	for (size_t i = 0; i < entries.count; i++) {
		const char *path = entries.items[i].path;
		size_t len = strlen(path);
		if (len > 5 && !strcmp(path + len - 5, ".yaml") && !load(tree, path, status, err))
			return error_wrap(err, "status branch");
	}
	return true;
}

static bool load_leader(
	struct tree *tree, const char *folder, struct status *status, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_free char *path = mem_printf("%sleader.yaml", folder);
	const struct node *node, *epoch, *instance;
	if (!read_yaml(tree, path, arena, &node, err))
		return err->code == ERR_NOT_FOUND;
	epoch = node_get(node, "epoch");
	instance = node_get(node, "instance");
	if (!epoch || epoch->kind != NODE_INT || !instance || instance->kind != NODE_STRING)
		return node_error(err, node, "leader.yaml needs 'instance' and 'epoch'");
	status->epoch = epoch->integer;
	(void)snprintf(status->leader, sizeof(status->leader), "%s", instance->text);
	return true;
}

static bool load_asked(
	struct tree *tree, const char *folder, struct status *status, struct error *err)
{
	auto_arena struct arena *arena = arena_new(ARENA_PLAIN, 0);
	auto_free char *path = mem_printf("%srequests.yaml", folder);
	const struct node *node;
	if (!read_yaml(tree, path, arena, &node, err))
		return err->code == ERR_NOT_FOUND;
	return asked_record_from_node(node, &status->asked, err);
}

static bool load_digest_keys(
	struct tree *tree, const char *folder, struct status *status, struct error *err)
{
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	auto_free char *path = mem_printf("%sdigest-key.sops.yaml", folder);
	if (!tree_read(tree, path, &text, NULL, err))
		return err->code == ERR_NOT_FOUND;
	status->digest_keys_len = text.len;
	status->digest_keys = buf_steal(&text);
	return true;
}

bool status_load_beside(
	struct tree *tree, const char *folder, struct status *status, struct error *err)
{
	free(status->digest_keys);
	status->digest_keys = NULL;
	status->digest_keys_len = 0;
	status->leader[0] = '\0';
	status->epoch = 0;
	asked_record_clear(&status->asked);
	return load_leader(tree, folder, status, err) && load_asked(tree, folder, status, err) &&
	       load_digest_keys(tree, folder, status, err);
}

bool status_load(struct tree *tree, const char *folder, const struct oid *tip,
	struct status **status_out, struct error *err)
{
	auto_status struct status *status = status_new();
	auto_free char *clients = mem_printf("%sclients", folder);
	auto_free char *rollouts = mem_printf("%srollouts", folder);
	status->tip = *tip;
	if (!load_folder(tree, clients, status, load_client, err) ||
		!load_folder(tree, rollouts, status, load_rollout, err) ||
		!status_load_beside(tree, folder, status, err))
		return false;
	*status_out = STEAL(status);
	return true;
}
