#include "reconcile/policy_file.h"

#define SECOND           ((int64_t)1000)
#define MINUTE           (60 * SECOND)
#define HOUR             (60 * MINUTE)
#define DAY              (24 * HOUR)
#define AT(type, member) .offset = offsetof(struct type, member)
#define LATER(key_name)                                                                            \
	{                                                                                          \
		.name = (key_name), .type = KEY_REFUSED                                            \
	}

static const char *const on_failure_words[] = {"rollback", "hold", NULL};
static const char *const approval_words[] = {"auto", "manual", NULL};
static const char *const drift_words[] = {"report", "repair", "off", NULL};
static const char *const coverage_words[] = {"off", "warn", "refuse", NULL};

static const struct key secrets_keys[] = {
	{.name = "shared",
		.type = KEY_TEXT,
		AT(policy_raw, secrets_shared),
		.standard = "secrets/shared.sops.yaml",
		.doc = "SOPS file whose values every client's templates see."},
	{.name = "client",
		.type = KEY_TEXT,
		AT(policy_raw, secrets_client),
		.standard = "secrets/clients/{{client_name}}.sops.yaml",
		.doc = "Template of the path of a client's own SOPS file. Its values go before the "
		       "shared ones."},
	{.name = "service",
		.type = KEY_TEXT,
		AT(policy_raw, secrets_service),
		.standard = "secrets/service.sops.yaml",
		.doc = "SOPS file with tokens for steps on the service machine; templates do not "
		       "see "
		       "it."},
	KEYS_END,
};

static const struct key window_keys[] = {
	{.name = "days",
		.type = KEY_TEXT,
		AT(window_file, days),
		.standard = "mon-sun",
		.doc = "Days on which it begins: mon-thu, or mon,wed,fri."},
	{.name = "from",
		.type = KEY_TEXT,
		AT(window_file, from),
		.required = true,
		.doc = "Local time of its begin, as \"09:00\"."},
	{.name = "to",
		.type = KEY_TEXT,
		AT(window_file, to),
		.required = true,
		.doc = "Local time of its end, at most \"24:00\"; before from: on the next day."},
	{.name = "zone",
		.type = KEY_TEXT,
		AT(window_file, zone),
		.standard = "UTC",
		.doc = "Zone of the system's tz database whose clock counts: Europe/Amsterdam."},
	KEYS_END,
};

static const struct key stage_keys[] = {
	{.name = "name",
		.type = KEY_TEXT,
		AT(stage_file, name),
		.required = true,
		.doc = "Name of the stage: lower case letters, digits and '-', at most 31."},
	{.name = "group",
		.type = KEY_TEXT,
		AT(stage_file, group),
		.doc = "Inventory group whose clients it has; the stage's name if it is not "
		       "written. "
		       "A client in several stages belongs to the first."},
	{.name = "batch",
		.type = KEY_NODE,
		AT(stage_file, batch),
		.doc = "Clients that are worked on at the same time: a number, or a percentage of "
		       "the stage's changed clients, rounded down, at least 1. A list such as "
		       "[1, 5, 25%] is for one wave after the other; its last entry repeats. "
		       "Default: 1."},
	{.name = "wave_pause",
		.type = KEY_DURATION,
		AT(stage_file, wave_pause_ms),
		.standard = "0s",
		.min = 0,
		.max = 30 * DAY,
		.doc = "Time between the end of a wave and the start of the next one."},
	{.name = "bake",
		.type = KEY_DURATION,
		AT(stage_file, bake_ms),
		.standard = "0s",
		.min = 0,
		.max = 30 * DAY,
		.doc = "Time that the stage stays under watch after its last client became "
		       "healthy."},
	{.name = "rollback_bake",
		.type = KEY_DURATION,
		AT(stage_file, rollback_bake_ms),
		.standard = "0s",
		.min = 0,
		.max = 30 * DAY,
		.doc = "Replaces bake when every changed client of the stage goes back to a "
		       "release that was known good there."},
	{.name = "approval",
		.type = KEY_ENUM,
		AT(stage_file, approval),
		.words = approval_words,
		.standard = "auto",
		.doc = "manual: the stage starts only after a person approved it. It is asked for "
		       "when the stage before has finished its bake; for the first stage at "
		       "once."},
	{.name = "approval_expires",
		.type = KEY_DURATION,
		AT(stage_file, approval_expires_ms),
		.standard = "0s",
		.min = 0,
		.max = 365 * DAY,
		.doc = "Time after which the rollout is aborted if nobody approved. 0s: never."},
	{.name = "max_failures",
		.type = KEY_INT,
		AT(stage_file, max_failures),
		.standard = "0",
		.min = 0,
		.max = 1000000,
		.doc = "Failed clients that are tolerated; with one more nothing starts any more."},
	{.name = "max_unreachable",
		.type = KEY_INT,
		AT(stage_file, max_unreachable),
		.standard = "0",
		.min = 0,
		.max = 1000000,
		.doc = "Clients whose hosts may be out of reach; they are skipped and brought up "
		       "to date by a later rollout. With one more the rollout waits for the "
		       "hosts."},
	{.name = "windows",
		.type = KEY_LIST,
		AT(stage_file, windows),
		.keys = window_keys,
		.item_size = sizeof(struct window_file),
		.doc = "When clients of the stage may be started; what runs goes on outside of "
		       "them. Without the key: always."},
	KEYS_END,
};

static const struct key file_keys[] = {
	{.name = "from",
		.type = KEY_TEXT,
		AT(release_file, from),
		.required = true,
		.doc = "Path of the file in the infra repository."},
	{.name = "to",
		.type = KEY_TEXT,
		AT(release_file, to),
		.required = true,
		.doc = "Path of the file in the release; it stays inside of it."},
	{.name = "mode",
		.type = KEY_TEXT,
		AT(release_file, mode),
		.standard = "0644",
		.doc = "Permissions as octal digits in quotes."},
	{.name = "template",
		.type = KEY_BOOL,
		AT(release_file, template_),
		.standard = "true",
		.doc = "Rendered with Mustache for each client; false: copied as it is."},
	KEYS_END,
};

static const struct key release_keys[] = {
	{.name = "files",
		.type = KEY_LIST,
		AT(policy_raw, files),
		.keys = file_keys,
		.item_size = sizeof(struct release_file),
		.doc = "Files that make up a release."},
	KEYS_END,
};

static const struct key driver_keys[] = {
	{.name = "kind",
		.type = KEY_TEXT,
		AT(driver_file, kind),
		.required = true,
		.doc = "How a release reaches its host: local (a folder of the service machine)."},
	LATER("user"),
	{.name = "root",
		.type = KEY_TEXT,
		AT(driver_file, root),
		.required = true,
		.doc = "Template of the absolute path of a client's folder on its host, different "
		       "for "
		       "each client."},
	{.name = "activate",
		.type = KEY_NODE,
		AT(driver_file, activate),
		.doc = "Command that makes a release run: a list of arguments (templates), started "
		       "without a shell in the release's folder; or compose: Docker Compose "
		       "brings it up, and waits until every container is well."},
	{.name = "activate_timeout",
		.type = KEY_DURATION,
		AT(driver_file, activate_timeout_ms),
		.standard = "10m",
		.min = SECOND,
		.max = DAY,
		.doc = "Time after which a running activate is ended and counts as failed."},
	{.name = "retries",
		.type = KEY_INT,
		AT(driver_file, retries),
		.standard = "2",
		.min = 0,
		.max = 20,
		.doc = "Further attempts after failures that may pass by themselves."},
	{.name = "keep",
		.type = KEY_INT,
		AT(driver_file, keep),
		.standard = "3",
		.min = 1,
		.max = 1000,
		.doc = "Releases that stay on a host. The known good one always stays."},
	KEYS_END,
};

const struct key policy_check_keys[] = {
	{.name = "app",
		.type = KEY_TEXT,
		AT(check_file, app),
		.doc = "App whose clients are checked, or all. Default: the check's name, if some "
		       "client has that app."},
	{.name = "http",
		.type = KEY_TEXT,
		AT(check_file, http),
		.doc = "URL (template) that is fetched from the service machine. Exactly one of "
		       "http, "
		       "tcp, tls and command stands in a check."},
	{.name = "tcp",
		.type = KEY_TEXT,
		AT(check_file, tcp),
		.doc = "host:port (template) that must accept a connection."},
	{.name = "tls",
		.type = KEY_TEXT,
		AT(check_file, tls),
		.doc = "host:port (template) that must show a valid certificate."},
	{.name = "command",
		.type = KEY_NODE,
		AT(check_file, command),
		.doc = "List of arguments (templates): a command on the host that must end with "
		       "status 0, started without a shell in the current release."},
	{.name = "status",
		.type = KEY_INT,
		AT(check_file, status),
		.standard = "200",
		.min = 100,
		.max = 599,
		.doc = "http: status that the answer must have."},
	{.name = "json",
		.type = KEY_NODE,
		AT(check_file, json),
		.doc = "http: map of members that the JSON answer must have with these values."},
	{.name = "body",
		.type = KEY_TEXT,
		AT(check_file, body),
		.doc = "http: text (template) that the answer must contain."},
	{.name = "headers",
		.type = KEY_NODE,
		AT(check_file, headers),
		.doc = "http: map of headers (templates) to send."},
	{.name = "timeout",
		.type = KEY_DURATION,
		AT(check_file, timeout_ms),
		.standard = "10s",
		.min = 100,
		.max = 10 * MINUTE,
		.doc = "Time after which one probe has failed."},
	{.name = "min_days",
		.type = KEY_INT,
		AT(check_file, min_days),
		.standard = "0",
		.min = 0,
		.max = 3650,
		.doc = "tls: days that the certificate must still be valid."},
	KEYS_END,
};

static const struct key verify_keys[] = {
	{.name = "interval",
		.type = KEY_DURATION,
		AT(policy_raw, verify_interval_ms),
		.standard = "5s",
		.min = 100,
		.max = HOUR,
		.doc = "Time from the start of one round of checks to the next."},
	{.name = "healthy",
		.type = KEY_INT,
		AT(policy_raw, verify_healthy),
		.standard = "3",
		.min = 1,
		.max = 1000,
		.doc = "Good rounds in a row that make a client healthy; as many bad ones in a row "
		       "during a bake fail it."},
	{.name = "timeout",
		.type = KEY_DURATION,
		AT(policy_raw, verify_timeout_ms),
		.standard = "5m",
		.min = 100,
		.max = DAY,
		.doc = "Time after which a client that did not become healthy has failed."},
	KEYS_END,
};

static const struct key policy_policy_keys[] = {
	{.name = "pinned_images",
		.type = KEY_BOOL,
		AT(policy_raw, pinned_images),
		.standard = "true",
		.doc = "Images in compose files need a tag other than latest, or a digest."},
	{.name = "encrypted_secrets",
		.type = KEY_BOOL,
		AT(policy_raw, encrypted_secrets),
		.standard = "true",
		.doc = "A file under secrets/ that is not encrypted refuses the commit."},
	{.name = "canary_coverage",
		.type = KEY_ENUM,
		AT(policy_raw, canary_coverage),
		.words = coverage_words,
		.standard = "warn",
		.doc = "What to do when an app changes in production but runs on no canary."},
	{.name = "max_changed",
		.type = KEY_PERCENT,
		AT(policy_raw, max_changed),
		.standard = "100%",
		.doc = "Share of the recorded clients that one commit may upgrade, roll back or "
		       "miss."},
	KEYS_END,
};

const struct key policy_keys[] = {
	{.name = "version",
		.type = KEY_INT,
		AT(policy_raw, version),
		.required = true,
		.doc = "Version of this file's format: 1."},
	{.name = "inventory",
		.type = KEY_TEXT,
		AT(policy_raw, inventory),
		.standard = "ansible/inventory/clients.yml",
		.doc = "Path of the Ansible YAML inventory."},
	{.name = "secrets",
		.type = KEY_MAP,
		.keys = secrets_keys,
		.doc = "Where the SOPS files are. Each is optional until something uses it."},
	{.name = "stages",
		.type = KEY_LIST,
		AT(policy_raw, stages),
		.keys = stage_keys,
		.item_size = sizeof(struct stage_file),
		.doc = "Stages in their order, canary first. Default: canary with 10m of bake, "
		       "then "
		       "production."},
	{.name = "on_failure",
		.type = KEY_ENUM,
		AT(policy_raw, on_failure),
		.words = on_failure_words,
		.standard = "rollback",
		.doc = "rollback: a failed client goes back to its known good release. hold: it "
		       "stays "
		       "as it is for somebody to look at."},
	{.name = "release",
		.type = KEY_MAP,
		.keys = release_keys,
		.doc = "What a release is made of."},
	{.name = "driver",
		.type = KEY_MAP,
		AT(policy_raw, driver),
		.keys = driver_keys,
		.doc = "How releases reach hosts."},
	{.name = "checks",
		.type = KEY_NODE,
		AT(policy_raw, checks),
		.keys = policy_check_keys,
		.doc = "Map of named probes that say whether an app is healthy."},
	{.name = "verify",
		.type = KEY_MAP,
		.keys = verify_keys,
		.doc = "Rounds of all checks of a client after its deploy."},
	{.name = "policy",
		.type = KEY_MAP,
		.keys = policy_policy_keys,
		.doc = "What commits are refused."},
	{.name = "keep_rollback_tags",
		.type = KEY_INT,
		AT(policy_raw, keep_rollback_tags),
		.standard = "20",
		.min = 1,
		.max = 2000,
		.doc = "rollback/ tags that are kept for each client, and 2,000 in all. The oldest "
		       "go "
		       "first, never that of a known good release."},
	{.name = "drift",
		.type = KEY_ENUM,
		AT(policy_raw, drift),
		.words = drift_words,
		.standard = "report",
		.doc = "What to do when a host does not run what its record says. report: record "
		       "it. repair: also put it right, in a rollout of its own. off: do not ask."},
	{.name = "drift_interval",
		.type = KEY_DURATION,
		AT(policy_raw, drift_interval_ms),
		.standard = "1h",
		.min = 1000,
		.max = 30 * DAY,
		.doc = "How often the hosts are asked, while no rollout runs."},
	LATER("steps"),
	LATER("lifecycle"),
	LATER("retention"),
	KEYS_END,
};

/* Order of the words is the order of the enums. */
_Static_assert(ON_FAILURE_ROLLBACK == 0 && ON_FAILURE_HOLD == 1, "on_failure_words");
_Static_assert(APPROVAL_AUTO == 0 && APPROVAL_MANUAL == 1, "approval_words");
_Static_assert(DRIFT_REPORT == 0 && DRIFT_REPAIR == 1 && DRIFT_OFF == 2, "drift_words");
_Static_assert(COVERAGE_OFF == 0 && COVERAGE_WARN == 1 && COVERAGE_REFUSE == 2, "coverage_words");
