/* Which rollback tags are too many, and their deletion by exact name and expected id. */
#include "reconcile/ledger_parts.h"

#define LEDGER_TAGS_MAX 2000 /* design.md: keep_rollback_tags, in all */
#define ROLLBACK_PREFIX "refs/tags/rollback/"

void tag_removals_clear(struct tag_removals *removals)
{
	remote_refs_clear(&removals->refs);
	free(removals->items);
	removals->items = NULL;
	removals->count = 0;
}

/* Refs come sorted by name: client by client, oldest id first. Counts those of one client. */
static size_t count_client_tags(const struct remote_refs *refs, size_t first)
{
	const char *name = refs->items[first].name + strlen(ROLLBACK_PREFIX);
	size_t len = strcspn(name, "/") + 1, count = 0;
	while (first + count < refs->count &&
		!strncmp(refs->items[first + count].name, ROLLBACK_PREFIX,
			strlen(ROLLBACK_PREFIX)) &&
		!strncmp(refs->items[first + count].name + strlen(ROLLBACK_PREFIX), name, len))
		count++;
	return count;
}

/* Record of the client that a rollback tag is for, or NULL. */
static const struct client_record *client_of_tag(const struct ledger *ledger, const char *ref)
{
	const char *name = ref + strlen(ROLLBACK_PREFIX);
	auto_free char *client = mem_dup(name, strcspn(name, "/"));
	return status_client(ledger->status, client);
}

static int compare_refs(const void *a, const void *b)
{
	return strcmp(((const struct remote_ref *)a)->name, ((const struct remote_ref *)b)->name);
}

/* Does the tag stand on the known good commit of its client? One that the mirror does not know was
 * made by an older state folder: it is only counted. */
static bool tag_is_known_good(
	struct ledger *ledger, const char *ref, const struct client_record *record)
{
	struct error ignored;
	struct oid commit;
	return repo_revision(ledger->repo, ref, &commit, &ignored) &&
	       !strcmp(commit.hex, record->known_good.commit);
}

static bool is_rollback(const struct remote_ref *ref)
{
	return !strncmp(ref->name, ROLLBACK_PREFIX, strlen(ROLLBACK_PREFIX));
}

/* Tags that are still to come have no id yet: they count, and stay. */
static bool tag_may_go(struct ledger *ledger, const struct remote_ref *ref)
{
	const struct client_record *record = client_of_tag(ledger, ref->name);
	bool needed = record && record->rollback_tag &&
		      !strcmp(record->rollback_tag, ref->name + strlen("refs/tags/"));
	return ref->id.hex[0] && !needed &&
	       !(record && tag_is_known_good(ledger, ref->name, record));
}

static void choose(struct ledger *ledger, size_t keep, struct tag_removals *removals)
{
	struct remote_refs *refs = &removals->refs;
	size_t total = 0;
	removals->items = mem_zero(refs->count, sizeof(*removals->items));
	if (refs->count)
		qsort(refs->items, refs->count, sizeof(*refs->items), compare_refs);
	for (size_t i = 0; i < refs->count; i++)
		total += is_rollback(&refs->items[i]);
	for (size_t i = 0; i < refs->count;) {
		size_t count = is_rollback(&refs->items[i]) ? count_client_tags(refs, i) : 0;
		for (size_t j = 0; j < count; j++) {
			const struct remote_ref *ref = &refs->items[i + j];
			bool spare = j + keep < count || total - removals->count > LEDGER_TAGS_MAX;
			if (spare && tag_may_go(ledger, ref))
				removals->items[removals->count++] = (struct remote_update){
					.name = ref->name, .expected = ref->id};
		}
		i += count ? count : 1;
	}
}

/* Does the mirror know more tags of the client than may stay, with the one that comes? */
static bool too_many(struct ledger *ledger, const struct fact *fact, bool *out, struct error *err)
{
	auto_strlist struct strlist names = STRLIST_INIT;
	const char *end = strrchr(fact->tag, '/');
	auto_free char *prefix =
		mem_printf("refs/tags/%.*s/", end ? (int)(end - fact->tag) : 0, fact->tag);
	auto_free char *own = mem_printf("refs/tags/%s", fact->tag);
	if (!repo_refs(ledger->repo, prefix, &names, err))
		return false;
	*out = names.count + !strlist_has(&names, own) > fact->keep_tags;
	return true;
}

static void add_coming(struct remote_refs *refs, const char *tag)
{
	auto_free char *name = mem_printf("refs/tags/%s", tag);
	for (size_t i = 0; i < refs->count; i++)
		if (!strcmp(refs->items[i].name, name))
			return;
	mem_grow(refs->items, refs->count, refs->capacity);
	refs->items[refs->count++] = (struct remote_ref){.name = STEAL(name)};
}

bool ledger_find_removals(struct ledger *ledger, struct fact *const *facts, size_t count,
	struct tag_removals *removals_out, struct error *err)
{
	size_t keep = 0;
	bool many = false;
	for (size_t i = 0; i < count && !many; i++) {
		if (!facts[i]->tag || !facts[i]->keep_tags)
			continue;
		keep = facts[i]->keep_tags;
		if (!too_many(ledger, facts[i], &many, err))
			return false;
	}
	if (!many)
		return true;
	if (!remote_list(ledger->remote, ledger->repo, &removals_out->refs, err))
		return false;
	for (size_t i = 0; i < count; i++)
		if (facts[i]->tag)
			add_coming(&removals_out->refs, facts[i]->tag);
	choose(ledger, keep, removals_out);
	return true;
}

bool ledger_forget_tags(
	struct ledger *ledger, const struct tag_removals *removals, struct error *err)
{
	for (size_t i = 0; i < removals->count; i++)
		if (!repo_ref_delete(ledger->repo, removals->items[i].name, err))
			return false;
	return true;
}

bool ledger_prune_tags(struct ledger *ledger, size_t keep, struct error *err)
{
	CLEANUP(tag_removals_clear) struct tag_removals removals = {0};
	if (!ledger->status)
		return true;
	if (!remote_list(ledger->remote, ledger->repo, &removals.refs, err))
		return false;
	choose(ledger, keep, &removals);
	return !removals.count ||
	       (remote_push(ledger->remote, ledger->repo, removals.items, removals.count, err) &&
		       ledger_forget_tags(ledger, &removals, err));
}
