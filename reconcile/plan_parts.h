/* reconcile/plan_parts.h - what the files of module plan share; nobody else includes it */
#pragma once
#include "base/strmap.h"
#include "reconcile/plan.h"

struct reason_list {
	struct plan_reason *items;
	size_t count, capacity;
};
/** One more reason; the file is copied, line 0 means none. */
PRINTF(4, 5)
void reason_add(struct reason_list *list, const char *file, unsigned line, const char *format, ...);
void reason_list_clear(struct reason_list *list);

/** One tree of the infra repo with everything to build releases of it. */
struct plan_side {
	struct oid commit; /* empty: the folder */
	struct tree *tree;
	bool tree_borrowed;
	struct fleet *fleet;           /* NULL: cannot be read, see `why` */
	struct release_builder *keyed; /* NULL: without keys */
	struct release_builder *plain;
	char why[1024];
	struct oid fleet_id;  /* of fleet.yaml */
	struct oid shared_id; /* of the shared secrets; empty: none */
	bool secrets_listed;  /* secret_ids holds all of secrets/ */
	struct tree_entries secrets;
	struct arena *arena;      /* ids that were asked for one by one */
	struct strmap secret_ids; /* path -> struct tree_entry of secrets/ */
};

/** What a release depends on beside variables and secrets; see plan_cache.c. */
struct plan_inputs;

/** What the target wants of one client; index as in fleet->clients. */
struct plan_wanted {
	char digest[DIGEST_TEXT]; /* under the newest key; "" without keys if it uses secrets */
	char key[KEY_ID_TEXT];
	char plain[DIGEST_TEXT];
	char checks[DIGEST_TEXT];
	struct client_app *apps; /* work->arena, or the cache's */
	size_t app_count;
	struct plan_inputs *inputs;
	bool steered; /* see struct release */
};

/** What base and target, both without keys, show of one client. */
struct plan_change {
	const char *client;
	const char *stage;
	enum plan_action action;
	struct reason_list reasons;
	char *summary;
	char from[DIGEST_TEXT]; /* release of the base; "" if it needs a key */
};

struct plan_work {
	const struct plan_request *request;
	struct plan *plan;
	struct problems *problems;
	struct arena *arena;
	struct plan_cache *cache;     /* the request's, or one of its own */
	struct plan_cache *own_cache; /* owned, or NULL */
	bool pinned;                  /* base or target want pinned images */
	struct plan_side target;
	struct plan_side *base;   /* NULL: nothing */
	struct plan_side **sides; /* of other commits that clients run; owned */
	size_t side_count, side_capacity;
	struct plan_wanted *wanted;
	struct plan_change *changes; /* sorted by client */
	size_t change_count;
	size_t *stages;                        /* effective stage of each target client */
	const struct member_record **last;     /* newest membership of each target client */
	const struct rollout_record **last_of; /* the rollout of it */
	const struct rollout_record *own;      /* newest rollout of the target commit, or NULL */
	int max_changed;                       /* after the ratchet */
	enum policy_coverage canary_coverage;
};

/* ---- sides ---- */
/** Side of a commit, from those known or read now. NULL: err says why. */
struct plan_side *plan_side_get(struct plan_work *work, const char *commit, struct error *err);
MUST_USE bool plan_side_open(struct plan_work *work, struct plan_side *side);
void plan_side_clear(struct plan_side *side);
/** Id of a file of secrets on a side; empty: there is none. */
const struct oid *plan_side_secret(struct plan_side *side, const char *path);
/** Release of one client on a side. @param key  NULL: without keys */
MUST_USE bool plan_side_release(struct plan_side *side, const struct client *client,
	const struct digest_key *key, struct release **release_out, struct problems *problems);
/** Wanted releases of all clients; mistakes that several clients share are told once. */
MUST_USE bool plan_build_wanted(struct plan_work *work);

/* ---- cache ---- */
void plan_cache_begin(struct plan_cache *cache);
void plan_cache_end(struct plan_cache *cache, const struct fleet *fleet);
const struct fleet *plan_cache_fleet(const struct plan_cache *cache);
/** Has the shared file of secrets of this id been opened? */
bool plan_cache_opened(const struct plan_cache *cache, const struct oid *shared_id);
void plan_cache_set_opened(struct plan_cache *cache, const struct oid *shared_id);
/** List of what the release depends on; the cache's. */
struct plan_inputs *plan_inputs_of(struct plan_cache *cache, const struct plan_side *side,
	const struct release *release, bool keyed);
/** Does the target (or the base) answer all of the list the same? Found out once per plan. */
bool plan_inputs_same(const struct plan_cache *cache, struct plan_inputs *inputs,
	struct plan_work *work, bool base);
/** Wanted release of a client if it is known; its key either way. */
MUST_USE bool plan_cache_get(struct plan_work *work, size_t index, char key_out[DIGEST_TEXT]);
void plan_cache_put(struct plan_work *work, size_t index, const char *key);

/* ---- reasons ---- */
struct plan_pair {
	const struct plan_side *old_side, *new_side;
	const struct client *old_client, *new_client;
	const struct release *old_release, *new_release;
	bool encrypted; /* built without keys */
};
/** Why the new release differs from the old one, the most telling first. */
void plan_explain(const struct plan_pair *pair, struct reason_list *reasons, char **summary_out);
/** Subject of a first onboarding: its apps and their versions. */
char *plan_summary_apps(const struct client_app *apps, size_t count);

/* ---- comparing ---- */
MUST_USE bool plan_compare_trees(struct plan_work *work);
void plan_make_digest(struct plan_work *work);
/** Entries from the status branch's records. */
MUST_USE bool plan_compare_records(struct plan_work *work);
/** Entries from the two trees alone. */
void plan_take_changes(struct plan_work *work);
struct plan_entry *plan_add_entry(struct plan_work *work);
/** Entry of a target client with all but action, from and reasons. */
struct plan_entry *plan_add_client(struct plan_work *work, size_t index);
void plan_entry_take(struct plan_entry *entry, struct reason_list *reasons, char *summary);
void plan_find_members(struct plan_work *work);
void plan_check_renamed(struct plan_work *work);

/** Does the target want of this client what that commit wants of it, as the trees without keys
 *  show it? */
bool plan_same_plain(struct plan_work *work, size_t index, const char *commit);

/* ---- reverts ---- */
/** Whose data would have to come back too. */
void plan_find_data(struct plan_work *work);
void plan_data_clear(struct plan *plan);
void plan_data_to_text(const struct plan *plan, struct buf *out);
/** `, "reverts": ..., "data": [...]` */
/** `"name": "text"` of a JSON object, or null where there is no text. */
void plan_add_member(struct buf *out, const char *name, const char *text);
void plan_data_to_json(const struct plan *plan, struct buf *out);

/* ---- pins ---- */
/** Is the client kept on what it runs? @param reasons  gets why */
bool plan_is_pinned(
	const struct plan_work *work, const struct client *client, struct reason_list *reasons);
/** What its record has to say about its pin from now on, and when it is looked at again. */
void plan_note_pin(
	struct plan_work *work, const struct client *client, const struct client_record *record);
/** Make it the entry that verifies what a pinned client runs. @return false: that is proved, or
 *  failed */
bool plan_verifies_pinned(
	struct plan_work *work, const struct client_record *record, struct plan_entry *entry);

/* ---- policy ---- */
/** Stages and limits: the stricter of base and target where fleet.yaml changed. */
void plan_set_policy(struct plan_work *work);
/** The same of two policies. @param old  of the last deployed commit, if that is another one; or
 * NULL
 */
void plan_take_policy(struct plan_work *work, const struct policy *new, const struct policy *old);
void plan_judge(struct plan_work *work);
