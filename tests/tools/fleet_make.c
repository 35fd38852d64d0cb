/* Makes an infra repo of many clients, each with a SOPS file of its own, for tests/bench.
 *
 * usage: fleet_make FOLDER CLIENTS [--local | --deployed]
 *
 * FOLDER/repo.git, bare: main (what is deployed), secret and secret-2 (each changes the file of one
 * client's secrets), compose (changes the compose file that all share), and deployments, the
 * status branch, where every client runs main. FOLDER/key.txt opens the secrets.
 * --local: the clients are folders below FOLDER/clients whose releases activate by /bin/true
 * without checks, main is version one and compose the next, and nothing is deployed yet.
 * --deployed: such clients, all recorded as running main, with as many rollouts as a branch keeps.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "git/commit.h"
#include "reconcile/plan.h"
#include "reconcile/secrets/sops.h"
#include <sodium.h>

#define TEXT_LIMIT ((size_t)64 << 20)

static const char policy_head[] =
	"version: 1\n"
	"stages:\n"
	"  - {name: canary, group: canary}\n"
	"  - {name: production, group: production, batch: 50%}\n"
	"release:\n"
	"  files:\n"
	"    - {from: docker/apps.yml, to: compose.yaml}\n"
	"    - {from: templates/env.mustache, to: .env, mode: \"0600\"}\n";
static const char policy_checks[] =
	"checks:\n"
	"  nextcloud: {http: \"https://{{domain}}/status.php\", status: 200}\n";
static const char apps_template[] = "services:\n"
				    "{{#apps.nextcloud}}\n"
				    "  nextcloud:\n"
				    "    image: nextcloud:%s\n"
				    "    restart: unless-stopped\n"
				    "    environment: {TRUSTED_DOMAINS: \"{{domain}}\"}\n"
				    "{{/apps.nextcloud}}\n"
				    "{{#apps.listmonk}}\n"
				    "  listmonk:\n"
				    "    image: listmonk/listmonk:{{listmonk_version}}\n"
				    "    restart: unless-stopped\n"
				    "{{/apps.listmonk}}\n";
static const char env_template[] =
	"DOMAIN={{domain}}\nADMIN={{secrets.admin}}\nDB={{secrets.db}}\nSMTP={{secrets.smtp}}\n";

struct maker {
	const char *folder;
	int clients;
	bool local, deployed;
	struct repo *repo;
	struct keyring *keyring;
	struct digest_keys keys;
	struct strlist recipients;
	struct strlist paths, texts; /* of the next commit */
	struct error err;
};

static void must(struct maker *maker, bool fine, const char *what)
{
	char line[sizeof(maker->err)];
	if (fine)
		return;
	fprintf(stderr, "fleet_make: %s: %s\n", what, error_line(&maker->err, line, sizeof(line)));
	exit(1);
}

static void add(struct maker *maker, const char *path, const char *text)
{
	strlist_add(&maker->paths, path);
	strlist_add(&maker->texts, text);
}

static void add_secrets(struct maker *maker, const char *path, const char *plain)
{
	const struct node_options options = {.rules = NODE_SOPS};
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf out = BUF_INIT(TEXT_LIMIT);
	const struct node *node = NULL;
	must(maker,
		node_parse_yaml(arena, path, plain, strlen(plain), &options, &node, &maker->err) &&
			sops_encrypt_yaml(node, &maker->recipients, &out, &maker->err),
		path);
	add(maker, path, out.text);
}

static void add_client_secrets(struct maker *maker, int client, int turn)
{
	auto_free char *path = mem_printf("secrets/clients/client-%d.sops.yaml", client);
	auto_free char *text = mem_printf(
		"admin: admin-secret-%d-%d\ndb: database-secret-%d\n", client, turn, client);
	add_secrets(maker, path, text);
}

static void add_inventory(struct maker *maker)
{
	auto_buf struct buf text = BUF_INIT(TEXT_LIMIT);
	buf_add_str(&text, "all:\n  vars: {listmonk_version: v5.0.0}\n  children:\n");
	for (int i = 0; i < maker->clients; i++) {
		if (!i)
			buf_add_str(&text, "    canary:\n      hosts:\n");
		if (i == 1)
			buf_add_str(&text, "    production:\n      hosts:\n");
		buf_addf(&text,
			"        vps-%d: {client_name: client-%d, domain: c%d.example, "
			"apps: [nextcloud%s]}\n",
			i, i, i, i % 2 ? "" : ", listmonk");
	}
	add(maker, "ansible/inventory/clients.yml", text.text);
}

static void add_policy(struct maker *maker)
{
	auto_free char *root =
		maker->local ? realpath(maker->folder, NULL) : mem_dup_str("/srv/fleet");
	auto_free char *text =
		mem_printf("%sdriver: {kind: local, root: \"%s/clients/{{client_name}}\", "
			   "activate: [/bin/true]}\n%s",
			policy_head, root, maker->local ? "" : policy_checks);
	add(maker, "fleet.yaml", text);
}

static void add_compose(struct maker *maker, const char *version)
{
	auto_free char *text = mem_printf(apps_template, version);
	add(maker, "docker/apps.yml", text);
}

/* Commits what was added and puts a branch on it. */
static struct oid commit(struct maker *maker, const struct oid *parent, const char *branch)
{
	const struct commit_author author = {"Eva", "eva@example.org", 1800000000};
	size_t count = maker->paths.count;
	auto_free struct commit_change *changes = mem_zero(count, sizeof(*changes));
	auto_free char *ref = mem_printf("refs/heads/%s", branch);
	const struct oid none = {{0}};
	struct oid id = {{0}};
	for (size_t i = 0; i < count; i++)
		changes[i] = (struct commit_change){maker->paths.items[i], maker->texts.items[i],
			strlen(maker->texts.items[i])};
	must(maker,
		commit_create(maker->repo, parent, changes, count, "change\n", &author, &id,
			&maker->err) &&
			repo_ref_set(maker->repo, ref, &id, &none, &maker->err),
		branch);
	strlist_clear(&maker->paths);
	strlist_clear(&maker->texts);
	return id;
}

static void add_record(struct maker *maker, const struct plan_entry *entry)
{
	const struct client_record record = {.client = entry->client,
		.host = entry->host,
		.root = entry->root,
		.stage = entry->stage_name,
		.state = CLIENT_HEALTHY,
		.current = entry->to,
		.known_good = entry->to,
		.apps = entry->apps,
		.app_count = entry->app_count,
		.updated_s = 1800000000};
	auto_buf struct buf text = BUF_INIT(TEXT_LIMIT);
	auto_free char *path = mem_printf("clients/%s.yaml", entry->client);
	client_record_to_yaml(&record, &text);
	add(maker, path, text.text);
}

/* A rollout of one client that ended well, the more seconds ago the greater @p age is. */
static void add_rollout(struct maker *maker, const struct oid *target, int age)
{
	struct member_record member = {.client = mem_printf("client-%d", 1 + age % 9),
		.action = PLAN_UPGRADE,
		.state = MEMBER_HEALTHY};
	struct stage_record stage = {.name = (char[]){"production"},
		.state = STAGE_SUCCEEDED,
		.members = &member,
		.member_count = 1};
	struct rollout_record record = {.state = ROLLOUT_SUCCEEDED,
		.started_s = 1800000000 - age,
		.finished_s = 1800000000 - age,
		.stages = &stage,
		.stage_count = 1};
	auto_buf struct buf text = BUF_INIT(TEXT_LIMIT);
	auto_status struct status *status = status_new();
	memcpy(record.commit, target->hex, sizeof(record.commit));
	rollout_id_make(status, record.started_s, record.commit, record.id);
	auto_free char *path = mem_printf("rollouts/%s.yaml", record.id);
	rollout_record_to_yaml(&record, &text);
	add(maker, path, text.text);
	free(member.client);
}

/* Every client runs the commit: what a rollout of all would have recorded. */
static void record_deployed(struct maker *maker, const struct oid *target)
{
	auto_tree struct tree *tree = NULL;
	auto_plan struct plan *plan = NULL;
	auto_status struct status *status = status_new();
	auto_problems struct problems problems = {0};
	auto_buf struct buf keys = BUF_INIT(TEXT_LIMIT);
	const struct oid none = {{0}};
	must(maker, tree_open_commit(maker->repo, target, &tree, &maker->err), "tree");
	const struct plan_request request = {.repo = maker->repo,
		.tree = tree,
		.commit = *target,
		.status = status,
		.keyring = maker->keyring,
		.keys = &maker->keys};
	must(maker,
		plan_build(&request, &plan, NULL, &problems) ||
			problems_to_error(&problems, &maker->err),
		"plan");
	for (size_t i = 0; i < plan->entry_count; i++)
		add_record(maker, &plan->entries[i]);
	for (int i = 0; maker->deployed && i < STATUS_ROLLOUTS_MAX; i++)
		add_rollout(maker, target, i);
	must(maker, digest_keys_write(&maker->keys, &maker->recipients, &keys, &maker->err),
		"digest keys");
	add(maker, "digest-key.sops.yaml", keys.text);
	(void)commit(maker, &none, "deployments"); /* nothing stands on it */
}

static void write_key(struct maker *maker)
{
	auto_buf struct buf text = BUF_INIT_SECRET(TEXT_LIMIT);
	auto_free char *path = mem_printf("%s/key.txt", maker->folder);
	keyring_write(maker->keyring, &text);
	must(maker, fs_write(path, text.text, text.len, 0600, &maker->err), path);
}

static void make(struct maker *maker)
{
	const struct oid none = {{0}};
	add_policy(maker);
	add_compose(maker, "28.0.1");
	add(maker, "templates/env.mustache", env_template);
	add_inventory(maker);
	add_secrets(maker, "secrets/shared.sops.yaml", "smtp: mail-secret\n");
	for (int i = 0; i < maker->clients; i++)
		add_client_secrets(maker, i, 0);
	struct oid first = commit(maker, &none, "main");
	add_compose(maker, "28.0.2");
	(void)commit(maker, &first, "compose"); /* nothing stands on it */
	if (maker->local && !maker->deployed)
		return;
	record_deployed(maker, &first);
	add_client_secrets(maker, 7, 1);
	struct oid second = commit(maker, &first, "secret");
	add_client_secrets(maker, 8, 1);
	(void)commit(maker, &second, "secret-2"); /* nothing stands on it */
}

int main(int argc, char **argv)
{
	struct maker maker = {.folder = argc > 2 ? argv[1] : "",
		.clients = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0,
		.deployed = argc == 4 && !strcmp(argv[3], "--deployed"),
		.local = argc == 4};
	if (argc == 4 && !maker.deployed && strcmp(argv[3], "--local") != 0)
		argc = 0;
	if (!argc || maker.clients < 10 || argc > 4) {
		fprintf(stderr,
			"usage: fleet_make FOLDER CLIENTS [--local | --deployed]   (10 clients or "
			"more)\n");
		return 2;
	}
	auto_free char *path = mem_printf("%s/repo.git", maker.folder);
	must(&maker, sodium_init() >= 0 && repo_library_init(&maker.err), "libraries");
	must(&maker,
		fs_make_folders(maker.folder, 0700, &maker.err) &&
			repo_open_mirror(path, &maker.repo, &maker.err),
		path);
	maker.keyring = keyring_generate();
	keyring_recipients(maker.keyring, &maker.recipients);
	must(&maker, digest_keys_add(&maker.keys, &maker.err), "key");
	write_key(&maker);
	make(&maker);
	strlist_clear(&maker.recipients);
	keyring_free(maker.keyring);
	repo_free(maker.repo);
	repo_library_shutdown();
	return 0;
}
