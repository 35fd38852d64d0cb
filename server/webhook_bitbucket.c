/* Bitbucket Cloud and Data Center: one endpoint, told apart by the event key. A delivery of either
 * holds several refs; the tracked branch can be any of them. */
#include "server/webhook_forge.h"

/* Reads one change; false sets the problem. *skip_out: a kind of ref that is not ours to read. */
typedef bool (*read_change)(struct webhook_json change, struct webhook_update *update,
	bool *skip_out, const char **problem_out);

static void fold_changes(const struct webhook_delivery *delivery, struct webhook_json changes,
	read_change read, struct webhook_verdict *verdict)
{
	struct webhook_json change;
	size_t at = 0;
	webhook_ignore(verdict, "no-changes");
	while (webhook_json_next(changes, &at, &change)) {
		struct webhook_update update;
		const char *problem = NULL;
		bool skip = false;
		if (!read(change, &update, &skip, &problem))
			return webhook_refuse(verdict, 400, "%s", problem);
		if (skip)
			continue;
		if (!webhook_update_valid(&update, &problem))
			return webhook_refuse(verdict, 400, "%s", problem);
		webhook_fold(delivery->tracked, &update, verdict);
	}
}

/* ---- Cloud ------------------------------------------------------------------------------------
 */

/* `new` or `old`: type, name, target.hash; null is a ref that is not there. */
struct side {
	char type[64];
	char name[WEBHOOK_REF_SIZE];
	char hash[WEBHOOK_ID_SIZE];
};

static bool read_side(struct webhook_json value, struct side *side)
{
	static const char *const names[] = {"type", "name", "target"};
	struct webhook_json found[3], hash;
	static const char *const hash_name[] = {"hash"};
	if (webhook_json_is_null(value))
		return true;
	return webhook_json_members(value, names, 3, found) &&
	       webhook_json_text(found[0], side->type, sizeof(side->type)) &&
	       webhook_json_text(found[1], side->name, sizeof(side->name)) &&
	       webhook_json_members(found[2], hash_name, 1, &hash) &&
	       webhook_json_text(hash, side->hash, sizeof(side->hash));
}

/* The zero id in the length of the other side's. */
static void set_id(char *id, const struct side *side, const struct side *other)
{
	const char *from = side->name[0] ? side->hash : other->hash;
	(void)snprintf(id, WEBHOOK_ID_SIZE, "%s", from); /* both are that size */
	if (!side->name[0])
		memset(id, '0', strlen(id));
}

static bool cloud_change(struct webhook_json change, struct webhook_update *update, bool *skip_out,
	const char **problem_out)
{
	static const char *const names[] = {"old", "new"};
	struct webhook_json found[2];
	struct side before = {0}, after = {0};
	*problem_out = "a change misses 'type', 'name' or 'target.hash' of 'old' or 'new'";
	if (!webhook_json_members(change, names, 2, found) || !read_side(found[0], &before) ||
		!read_side(found[1], &after))
		return false;
	const struct side *side = after.name[0] ? &after : &before;
	if (!side->name[0])
		return false;
	bool branch = !strcmp(side->type, "branch");
	if (!branch && strcmp(side->type, "tag") != 0 && strcmp(side->type, "annotated_tag") != 0) {
		*skip_out = true;
		return true;
	}
	int len = snprintf(update->ref, sizeof(update->ref), "refs/%s/%s",
		branch ? "heads" : "tags", side->name);
	if (len < 0 || (size_t)len >= sizeof(update->ref)) {
		*problem_out = "a ref name is too long";
		return false;
	}
	set_id(update->before, &before, &after);
	set_id(update->after, &after, &before);
	return true;
}

static void cloud_push(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	static const char *const names[] = {"push", "repository"};
	static const char *const changes_name[] = {"changes"}, *const path_name[] = {"full_name"};
	struct webhook_json found[2], changes, path_value;
	char path[WEBHOOK_PATH_MAX];
	if (!webhook_json_members(delivery->body, names, 2, found) ||
		!webhook_json_members(found[0], changes_name, 1, &changes) ||
		!webhook_json_is_array(changes))
		return webhook_refuse(
			verdict, 400, "'push.changes' is missing, doubled or no list");
	if (!webhook_json_members(found[1], path_name, 1, &path_value) ||
		!webhook_json_text(path_value, path, sizeof(path)))
		return webhook_refuse(
			verdict, 400, "'repository.full_name' is missing, doubled or no text");
	if (!webhook_is_tracked(delivery->tracked, path, ""))
		return webhook_ignore(verdict, "other-repository");
	fold_changes(delivery, changes, cloud_change, verdict);
}

/* ---- Data Center ------------------------------------------------------------------------------
 */

static bool dc_change(struct webhook_json change, struct webhook_update *update, bool *skip_out,
	const char **problem_out)
{
	static const char *const names[] = {"ref", "refId", "fromHash", "toHash"};
	static const char *const id_name[] = {"id"};
	struct webhook_json found[4], id = {0};
	*skip_out = false;
	*problem_out = "a change misses 'ref.id', 'fromHash' or 'toHash'";
	if (!webhook_json_members(change, names, 4, found))
		return false;
	if (webhook_json_is_object(found[0]) && !webhook_json_members(found[0], id_name, 1, &id))
		return false;
	return webhook_json_text(id.text ? id : found[1], update->ref, sizeof(update->ref)) &&
	       webhook_json_text(found[2], update->before, sizeof(update->before)) &&
	       webhook_json_text(found[3], update->after, sizeof(update->after));
}

/* "<project.key>/<slug>" of `repository`. */
static bool dc_path(struct webhook_json repository, char *path, size_t size)
{
	static const char *const names[] = {"project", "slug"}, *const key_name[] = {"key"};
	struct webhook_json found[2], key_value;
	char key[WEBHOOK_PATH_MAX / 2], slug[WEBHOOK_PATH_MAX / 2];
	if (!webhook_json_members(repository, names, 2, found) ||
		!webhook_json_members(found[0], key_name, 1, &key_value) ||
		!webhook_json_text(key_value, key, sizeof(key)) ||
		!webhook_json_text(found[1], slug, sizeof(slug)))
		return false;
	int len = snprintf(path, size, "%s/%s", key, slug);
	return len > 0 && (size_t)len < size;
}

static void dc_push(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	static const char *const names[] = {"changes", "repository"};
	struct webhook_json found[2];
	char path[WEBHOOK_PATH_MAX];
	if (!webhook_json_members(delivery->body, names, 2, found) ||
		!webhook_json_is_array(found[0]))
		return webhook_refuse(verdict, 400, "'changes' is missing, doubled or no list");
	if (!dc_path(found[1], path, sizeof(path)))
		return webhook_refuse(verdict, 400,
			"'repository.project.key' or 'repository.slug' is missing, doubled or no "
			"text");
	if (!webhook_is_tracked(delivery->tracked, path, ""))
		return webhook_ignore(verdict, "other-repository");
	fold_changes(delivery, found[0], dc_change, verdict);
}

static void bitbucket_read(const struct webhook_delivery *delivery, struct webhook_verdict *verdict)
{
	if (webhook_event_is(delivery, "repo:push"))
		cloud_push(delivery, verdict);
	else if (webhook_event_is(delivery, "repo:refs_changed"))
		dc_push(delivery, verdict);
	else
		webhook_ignore(
			verdict, webhook_event_is(delivery, "diagnostics:ping") ? "ping" : "event");
}

const struct webhook_kind webhook_bitbucket = {
	.name = "bitbucket",
	.event_header = "X-Event-Key",
	.delivery_headers = {"X-Request-UUID", "X-Request-Id"},
	.signature_header = "X-Hub-Signature",
	.signature_prefix = "sha256=",
	.form = WEBHOOK_NO_FORM,
	.read = bitbucket_read,
};
