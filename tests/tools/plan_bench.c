/* Times plans of a generated fleet, each client with a SOPS file of its own.
 *
 * usage: plan_bench CLIENTS   prints "what<TAB>value<TAB>unit" lines, for tests/bench
 *
 * cold: a new process's first plan of a commit that changes one file against the one before, with
 * records of all clients; warm: the plan of the next commit, which changes one client's file.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "git/commit.h"
#include "reconcile/plan.h"
#include "reconcile/secrets/sops.h"
#include <sodium.h>
#include <sys/resource.h>
#include <time.h>

#define TEXT_MAX ((size_t)64 << 20)

static const char fleet_yaml[] =
	"version: 1\n"
	"stages:\n"
	"  - {name: canary, group: canary}\n"
	"  - {name: production, group: production, batch: 10%}\n"
	"release:\n"
	"  files:\n"
	"    - {from: docker/apps.yml, to: compose.yaml}\n"
	"    - {from: templates/env.mustache, to: .env, mode: \"0600\"}\n"
	"driver: {kind: local, root: \"/srv/fleet/{{client_name}}\", activate: [./activate]}\n"
	"checks:\n"
	"  nextcloud: {http: \"https://{{domain}}/status.php\", status: 200}\n";
static const char apps_yml[] =
	"services:\n"
	"{{#apps.nextcloud}}\n  nextcloud:\n    image: nextcloud:%s\n{{/apps.nextcloud}}\n"
	"{{#apps.listmonk}}\n  listmonk:\n    image: "
	"listmonk/listmonk:{{listmonk_version}}\n{{/apps.listmonk}}\n";
static const char env_mustache[] =
	"DOMAIN={{domain}}\nADMIN={{secrets.admin}}\nDB={{secrets.db}}\nSMTP={{secrets.smtp}}\n";

struct bench {
	struct repo *repo;
	struct keyring *keyring;
	struct digest_keys keys;
	struct strlist recipients;
	struct strlist paths, texts;
	struct error err;
};

static void must(struct bench *bench, bool fine, const char *what)
{
	char line[sizeof(bench->err)];
	if (fine)
		return;
	fprintf(stderr, "plan_bench: %s: %s\n", what, error_line(&bench->err, line, sizeof(line)));
	exit(1);
}

static void add(struct bench *bench, const char *path, const char *text)
{
	strlist_add(&bench->paths, path);
	strlist_add(&bench->texts, text);
}

static void add_secrets(struct bench *bench, const char *path, const char *plain)
{
	const struct node_options options = {.rules = NODE_SOPS};
	auto_arena struct arena *arena = arena_new(ARENA_SECRET, 0);
	auto_buf struct buf out = BUF_INIT(TEXT_MAX);
	const struct node *node = NULL;
	must(bench,
		node_parse_yaml(arena, path, plain, strlen(plain), &options, &node, &bench->err),
		path);
	must(bench, sops_encrypt_yaml(node, &bench->recipients, &out, &bench->err), path);
	add(bench, path, out.text);
}

static void add_client_secrets(struct bench *bench, int client, int turn)
{
	auto_free char *path = mem_printf("secrets/clients/client-%d.sops.yaml", client);
	/* begin differently, as generated passwords do */
	uint32_t random = (uint32_t)client * 2654435761u + 7;
	auto_free char *text = mem_printf(
		"admin: %08x-admin-%d\ndb: %08x-database\n", random, turn, random ^ 0x5bd1e995u);
	add_secrets(bench, path, text);
}

static void add_inventory(struct bench *bench, int clients)
{
	auto_buf struct buf text = BUF_INIT(TEXT_MAX);
	buf_add_str(&text, "all:\n  vars: {listmonk_version: v5.0.0}\n  children:\n");
	for (int i = 0; i < clients; i++) {
		if (!i)
			buf_add_str(&text, "    canary:\n      hosts:\n");
		if (i == 1)
			buf_add_str(&text, "    production:\n      hosts:\n");
		buf_addf(&text,
			"        vps-%d: {client_name: client-%d, domain: c%d.example, "
			"apps: [nextcloud%s]}\n",
			i, i, i, i % 2 ? "" : ", listmonk");
	}
	add(bench, "ansible/inventory/clients.yml", text.text);
}

static void add_apps(struct bench *bench, const char *version)
{
	auto_free char *text = mem_printf(apps_yml, version);
	add(bench, "docker/apps.yml", text);
}

static struct oid commit(struct bench *bench, const struct oid *parent)
{
	static const struct commit_author author = {"Eva", "eva@example.org", 1800000000};
	size_t count = bench->paths.count;
	auto_free struct commit_change *changes = mem_zero(count, sizeof(*changes));
	struct oid id = {{0}};
	for (size_t i = 0; i < count; i++)
		changes[i] = (struct commit_change){bench->paths.items[i], bench->texts.items[i],
			strlen(bench->texts.items[i])};
	must(bench,
		commit_create(
			bench->repo, parent, changes, count, "change\n", &author, &id, &bench->err),
		"commit");
	strlist_clear(&bench->paths);
	strlist_clear(&bench->texts);
	return id;
}

static struct plan *plan(struct bench *bench, const struct oid *target, const struct oid *base,
	const struct status *status, struct plan_cache *cache)
{
	auto_tree struct tree *tree = NULL;
	auto_problems struct problems problems = {0};
	struct plan *out = NULL;
	must(bench, tree_open_commit(bench->repo, target, &tree, &bench->err), "tree");
	struct plan_request request = {.repo = bench->repo,
		.tree = tree,
		.commit = *target,
		.base = *base,
		.status = status,
		.keyring = bench->keyring,
		.keys = &bench->keys,
		.cache = cache};
	bool good = plan_build(&request, &out, NULL, &problems);
	if (!good)
		(void)problems_to_error(&problems, &bench->err); /* makes the error */
	must(bench, good, "plan");
	return out;
}

static void record_all(struct status *status, const struct plan *plan)
{
	for (size_t i = 0; i < plan->entry_count; i++) {
		const struct plan_entry *entry = &plan->entries[i];
		struct client_record record = {.client = entry->client,
			.host = entry->host,
			.root = entry->root,
			.stage = entry->stage_name,
			.state = CLIENT_HEALTHY,
			.current = entry->to,
			.known_good = entry->to};
		status_put_client(status, &record);
	}
}

static double cpu_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now); /* cannot fail for this clock */
	return (double)now.tv_sec * 1000 + (double)now.tv_nsec / 1e6;
}

static long rss_kib(void)
{
	long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	if (file) {
		if (fscanf(file, "%*d %ld", &pages) != 1)
			pages = 0;
		(void)fclose(file); /* read only */
	}
	return pages * 4;
}

static void measure(struct bench *bench, const char *name, const struct oid *target,
	const struct oid *base, const struct status *status, struct plan_cache *cache)
{
	int64_t wall = clock_mono_ms();
	double cpu = cpu_ms();
	struct plan *out = plan(bench, target, base, status, cache);
	printf("%s wall\t%lld\tms\n%s cpu\t%.0f\tms\n", name, (long long)(clock_mono_ms() - wall),
		name, cpu_ms() - cpu);
	printf("%s changed\t%zu\tclients\n%s resident\t%ld\tKiB\n", name, out->changed, name,
		rss_kib());
	plan_free(out);
}

static void run(struct bench *bench, int clients)
{
	struct oid none = {{0}};
	struct status *status = status_new();
	add(bench, "fleet.yaml", fleet_yaml);
	add_apps(bench, "28.0.1");
	add(bench, "templates/env.mustache", env_mustache);
	add_inventory(bench, clients);
	add_secrets(bench, "secrets/shared.sops.yaml", "smtp: mail-secret\n");
	for (int i = 0; i < clients; i++)
		add_client_secrets(bench, i, 0);
	struct oid first = commit(bench, &none);
	add_client_secrets(bench, 7, 1);
	struct oid second = commit(bench, &first);
	add_client_secrets(bench, 8, 1);
	struct oid third = commit(bench, &second);
	add_apps(bench, "28.0.2");
	struct oid fourth = commit(bench, &third);

	struct plan *initial = plan(bench, &first, &none, status, NULL);
	record_all(status, initial);
	plan_free(initial);
	printf("before resident\t%ld\tKiB\n", rss_kib());
	struct plan_cache *cache = plan_cache_new();
	measure(bench, "cold", &second, &first, status, cache);
	measure(bench, "warm", &third, &first, status, cache);
	measure(bench, "warm all change", &fourth, &first, status, cache);
	plan_cache_free(cache);
	status_free(status);
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	auto_free char *folder = NULL;
	int clients = argc == 2 ? (int)strtol(argv[1], NULL, 10) : 0;

	if (clients < 10) {
		fprintf(stderr, "usage: plan_bench CLIENTS   (10 or more)\n");
		return 2;
	}
	must(&bench, sodium_init() >= 0 && repo_library_init(&bench.err), "libraries");
	must(&bench, fs_scratch(NULL, "plan-bench", &folder, &bench.err), "scratch");
	auto_free char *path = mem_printf("%s/repo.git", folder);
	must(&bench, repo_open_mirror(path, &bench.repo, &bench.err), path);
	bench.keyring = keyring_generate();
	keyring_recipients(bench.keyring, &bench.recipients);
	must(&bench, digest_keys_add(&bench.keys, &bench.err), "key");
	run(&bench, clients);
	repo_free(bench.repo);
	keyring_free(bench.keyring);
	strlist_clear(&bench.recipients);
	must(&bench, fs_remove_tree(folder, &bench.err), folder);
	repo_library_shutdown();
	return 0;
}
