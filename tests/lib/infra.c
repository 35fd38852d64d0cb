#include "tests/lib/infra.h"
#include "reconcile/secrets/sops.h"
#include "tests/lib/gitrepo.h"
#include <sodium.h>
#include <unistd.h>

static const char fleet_yaml[] =
	"version: 1\n"
	"inventory: ansible/inventory/clients.yml\n"
	"stages:\n"
	"  - {name: canary, group: canary, bake: 10m}\n"
	"  - {name: production, group: production, batch: 25%}\n"
	"release:\n"
	"  files:\n"
	"    - {from: docker/apps.yml, to: compose.yaml}\n"
	"    - {from: templates/env.mustache, to: .env, mode: \"0600\"}\n"
	"driver: {kind: local, root: \"/srv/fleet/{{client_name}}\", activate: [./activate]}\n"
	"checks:\n"
	"  nextcloud: {http: \"https://{{domain}}/status.php\", status: 200}\n";

static const char clients_yml[] = "all:\n"
				  "  vars:\n"
				  "    listmonk_version: v5.0.0\n"
				  "    greeting: hello\n"
				  "  children:\n"
				  "    canary:\n"
				  "      hosts:\n"
				  "        alpha-vps:\n"
				  "          client_name: alpha\n"
				  "          domain: alpha.example\n"
				  "          apps: [nextcloud, listmonk]\n"
				  "    production:\n"
				  "      hosts:\n"
				  "        beta-vps:\n"
				  "          client_name: beta\n"
				  "          domain: beta.example\n"
				  "          apps: [nextcloud]\n"
				  "        gamma-vps:\n"
				  "          client_name: gamma\n"
				  "          domain: gamma.example\n"
				  "          apps: [nextcloud, pretix]\n";

static const char apps_yml[] = "services:\n"
			       "{{#apps.nextcloud}}\n"
			       "  nextcloud:\n"
			       "    image: nextcloud:28.0.1\n"
			       "{{/apps.nextcloud}}\n"
			       "{{#apps.listmonk}}\n"
			       "  listmonk:\n"
			       "    image: listmonk/listmonk:{{listmonk_version}}\n"
			       "{{/apps.listmonk}}\n"
			       "{{#apps.pretix}}\n"
			       "{{> pretix.yml}}\n"
			       "{{/apps.pretix}}\n";

static const char pretix_yml[] = "  pretix:\n"
				 "    image: pretix/standalone:2026.7.0\n";

static const char env_mustache[] = "DOMAIN={{domain}}\n"
				   "GREETING={{greeting}}\n"
				   "ADMIN={{secrets.admin}}\n"
				   "SMTP={{secrets.smtp_password}}\n";

/* Not cmocka's asserts: benches link this file too. */
static void must(bool fine, const char *what, const struct error *err)
{
	char line[sizeof(*err)];
	if (fine)
		return;
	fprintf(stderr, "infra: %s: %s\n", what, error_line(err, line, sizeof(line)));
	abort();
}

static void write_all(struct infra *infra)
{
	infra_write(infra, "fleet.yaml", fleet_yaml);
	infra_write(infra, "ansible/inventory/clients.yml", clients_yml);
	infra_write(infra, "docker/apps.yml", apps_yml);
	infra_write(infra, "docker/pretix.yml", pretix_yml);
	infra_write(infra, "templates/env.mustache", env_mustache);
	infra_secrets(infra, "secrets/shared.sops.yaml", "smtp_password: mail-secret-1\n");
	infra_secrets(infra, "secrets/clients/alpha.sops.yaml", "admin: alpha-secret-1\n");
	infra_secrets(infra, "secrets/clients/beta.sops.yaml", "admin: beta-secret-1\n");
	infra_secrets(infra, "secrets/clients/gamma.sops.yaml", "admin: gamma-secret-1\n");
}

struct infra *infra_new(void)
{
	struct infra *infra = mem_zero(1, sizeof(*infra));
	struct error err = {0};

	must(sodium_init() >= 0 && repo_library_init(&err), "libraries", &err);
	infra->folder = gitrepo_scratch();
	GIT(infra->folder, "init", "-q", "-b", "main", ".");
	must(repo_discover(infra->folder, &infra->repo, &err), "repository", &err);
	infra->keyring = keyring_generate();
	must(digest_keys_add(&infra->keys, &err), "digest key", &err);
	write_all(infra);
	return infra;
}

void infra_free(struct infra *infra)
{
	if (!infra)
		return;
	repo_free(infra->repo);
	keyring_free(infra->keyring);
	digest_keys_wipe(&infra->keys);
	gitrepo_remove(infra->folder);
	free(infra);
	repo_library_shutdown();
}

void infra_write(struct infra *infra, const char *path, const char *text)
{
	gitrepo_write(infra->folder, path, text);
}

void infra_edit(struct infra *infra, const char *path, const char *old, const char *new)
{
	struct error err = {0};
	auto_free char *full = mem_printf("%s/%s", infra->folder, path);
	auto_buf struct buf text = BUF_INIT(TREE_FILE_MAX);
	auto_buf struct buf out = BUF_INIT(TREE_FILE_MAX);
	auto_tree struct tree *tree = NULL;

	must(tree_open_folder(infra->folder, &tree, &err), full, &err);
	must(tree_read(tree, path, &text, NULL, &err), full, &err);
	const char *at = strstr(text.text, old);
	error_set(&err, ERR_NOT_FOUND, "'%s' is not in it", old);
	must(at != NULL, path, &err);
	buf_add(&out, text.text, (size_t)(at - text.text));
	buf_add_str(&out, new);
	buf_add_str(&out, at + strlen(old));
	infra_write(infra, path, out.text);
}

void infra_remove(struct infra *infra, const char *path)
{
	auto_free char *full = mem_printf("%s/%s", infra->folder, path);
	struct error err = {0};
	must(!unlink(full), full, &err);
}

void infra_secrets(struct infra *infra, const char *path, const char *plain)
{
	const struct node_options options = {.rules = NODE_SOPS};
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_strlist struct strlist recipients = STRLIST_INIT;
	auto_buf struct buf out = BUF_INIT(TREE_FILE_MAX);
	const struct node *node = NULL;
	struct error err = {0};

	keyring_recipients(infra->keyring, &recipients);
	must(node_parse_yaml(arena, path, plain, strlen(plain), &options, &node, &err), path, &err);
	must(sops_encrypt_yaml(node, &recipients, &out, &err), path, &err);
	infra_write(infra, path, out.text);
}

struct oid infra_commit(struct infra *infra)
{
	struct oid id = {{0}};
	GIT(infra->folder, "add", "-A");
	GIT(infra->folder, "commit", "-q", "--allow-empty", "-m", "change");
	auto_free char *text = GIT_TEXT(infra->folder, "rev-parse", "HEAD");
	memcpy(id.hex, text, OID_HEX);
	return id;
}

static struct plan *build_plan(
	struct infra *infra, struct plan_request request, const struct oid *commit)
{
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	struct plan *plan = NULL;
	struct error err = {0};

	request.repo = infra->repo;
	request.commit = *commit;
	if (request.status) {
		request.keyring = infra->keyring;
		request.keys = &infra->keys;
	}
	must(tree_open_commit(infra->repo, commit, &tree, &err), "commit", &err);
	request.tree = tree;
	bool good = plan_build(&request, &plan, NULL, &problems);
	if (!good)
		(void)problems_to_error(&problems, &err); /* always false: it makes the error */
	must(good, "plan", &err);
	return plan;
}

struct plan *infra_plan_at(struct infra *infra, const struct oid *commit, const struct oid *base,
	const struct status *status, int64_t wall_s)
{
	struct plan_request request = {.status = status, .wall_s = wall_s};
	if (base)
		request.base = *base;
	return build_plan(infra, request, commit);
}

struct plan *infra_plan(struct infra *infra, const struct oid *commit, const struct oid *base,
	const struct status *status)
{
	return infra_plan_at(infra, commit, base, status, 0);
}

struct plan *infra_plan_repair(struct infra *infra, const struct oid *commit,
	const struct status *status, const struct strlist *repair)
{
	return build_plan(infra, (struct plan_request){.status = status, .repair = repair}, commit);
}

bool infra_validate(struct infra *infra, struct problems *problems)
{
	auto_tree struct tree *tree = NULL;
	auto_plan struct plan *plan = NULL;
	struct error err = {0};

	must(tree_open_folder(infra->folder, &tree, &err), infra->folder, &err);
	struct plan_request request = {.tree = tree};
	return plan_build(&request, &plan, NULL, problems);
}

void infra_deploy(struct status *status, const struct plan *plan)
{
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		const struct client_record *old = status_client(status, entry->client);
		struct client_record record = {0};
		struct release_ref good[STATUS_GOOD_MAX];
		if (entry->action != PLAN_ONBOARD && entry->action != PLAN_UPGRADE &&
			entry->action != PLAN_ROLLBACK)
			continue;
		record.client = entry->client;
		record.host = entry->host;
		record.root = entry->root;
		record.stage = entry->stage_name;
		record.state = CLIENT_HEALTHY;
		record.current = record.known_good = good[record.good_count++] = entry->to;
		for (size_t k = 0; old && k < old->good_count && k + 1 < STATUS_GOOD_MAX; k++)
			good[record.good_count++] = old->good[k];
		record.good = good;
		status_put_client(status, &record);
	}
}

const struct plan_entry *infra_entry(const struct plan *plan, const char *client)
{
	for (size_t i = 0; i < plan->entry_count; i++)
		if (!strcmp(plan->entries[i].client, client))
			return &plan->entries[i];
	return NULL;
}

char *infra_reasons(const struct plan_entry *entry)
{
	auto_buf struct buf text = BUF_INIT(4096);
	for (size_t i = 0; entry && i < entry->reason_count; i++) {
		const struct plan_reason *reason = &entry->reasons[i];
		buf_addf(&text, "%s%s", i ? "; " : "", reason->text);
		if (*reason->file)
			buf_addf(&text, " (%s", reason->file);
		if (*reason->file && reason->line)
			buf_addf(&text, ":%u", reason->line);
		if (*reason->file)
			buf_add_char(&text, ')');
	}
	return buf_steal(&text);
}

void infra_put(struct status *status, const char *client,
	void (*change)(struct client_record *record, const void *data), const void *data)
{
	struct client_record record = {0};
	client_record_copy(&record, status_client(status, client));
	change(&record, data);
	status_put_client(status, &record);
	client_record_clear(&record);
}

void infra_put_rollout(struct status *status, const struct plan *plan, const char *id,
	enum rollout_state state, enum member_state member_state)
{
	char canary[] = "canary";
	struct member_record members[8] = {{0}};
	struct stage_record stage = {.name = canary, .members = members};
	struct rollout_record record = {.state = state, .stages = &stage, .stage_count = 1};
	(void)snprintf(record.id, sizeof(record.id), "%s", id);
	memcpy(record.commit, plan->target, OID_HEX);
	for (size_t i = 0; i < plan->entry_count && i < ARRAY_LEN(members); i++) {
		struct member_record *member = &members[stage.member_count++];
		member->client = plan->entries[i].client;
		member->action = plan->entries[i].action;
		member->state = member_state;
		memcpy(member->to, plan->entries[i].to.release, DIGEST_TEXT);
		memcpy(member->to_key, plan->entries[i].to.release_key, KEY_ID_TEXT);
		memcpy(member->checks, plan->entries[i].checks, DIGEST_TEXT);
	}
	status_put_rollout(status, &record);
}
