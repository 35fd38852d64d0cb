#include "server/config_file.h"

#define SECOND         ((int64_t)1000)
#define DAY            (24 * 60 * 60 * SECOND)
#define AT(member)     .offset = offsetof(struct config_raw, member)
#define IN(type, part) .offset = offsetof(struct type, part)
#define LATER(key_name)                                                                            \
	{                                                                                          \
		.name = (key_name), .type = KEY_REFUSED                                            \
	}

static const char *const transports[] = {"libssh2", "openssh", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const log_levels[] = {"debug", "info", "warn", "error", NULL};

static const struct key repository_keys[] = {
	{.name = "url",
		.type = KEY_TEXT,
		AT(repository.url),
		.required = true,
		.env = "AVIARY_REPOSITORY_URL",
		.doc = "The infra repository: ssh://, user@host:path, https://, or an absolute "
		       "path. "
		       "Passwords do not belong into it."},
	{.name = "branch",
		.type = KEY_TEXT,
		AT(repository.branch),
		.standard = "main",
		.env = "AVIARY_REPOSITORY_BRANCH",
		.doc = "Branch whose newest commit is deployed."},
	{.name = "ssh_key_file",
		.type = KEY_TEXT,
		AT(repository.ssh_key_file),
		.doc = "Private key in OpenSSH's format, without a passphrase. Needed for ssh."},
	{.name = "known_hosts_file",
		.type = KEY_TEXT,
		AT(repository.known_hosts_file),
		.doc = "Host keys in OpenSSH's format; a host that is not listed is refused. "
		       "Needed "
		       "for ssh."},
	{.name = "token_file",
		.type = KEY_TEXT,
		AT(repository.token_file),
		.doc = "Access token for https, or user:password in one line."},
	{.name = "ca_file",
		.type = KEY_TEXT,
		AT(repository.ca_file),
		.doc = "Certificates (PEM) that are trusted for https instead of the system's."},
	{.name = "poll_interval",
		.type = KEY_DURATION,
		AT(repository.poll_interval_ms),
		.standard = "5m",
		.min = 100,
		.max = DAY,
		.env = "AVIARY_POLL_INTERVAL",
		.doc = "Time between looks at the repository when no webhook comes."},
	{.name = "allowed_signers_file",
		.type = KEY_TEXT,
		AT(repository.allowed_signers_file),
		.doc = "Keys that may sign commits, as in ssh-keygen(1), ALLOWED SIGNERS. With it "
		       "a commit is refused unless it and all since the last deployed one are "
		       "signed by them. Read again at each look."},
	{.name = "revoked_signers_file",
		.type = KEY_TEXT,
		AT(repository.revoked_signers_file),
		.doc = "Public keys, one a line, whose signatures do not count any more."},
	{.name = "forge_keyring_file",
		.type = KEY_TEXT,
		AT(repository.forge_keyring_file),
		.doc = "OpenPGP keys of the forge, as gpgv(1) reads them. Merge commits that one "
		       "of them signed need no signature by allowed_signers_file."},
	KEYS_END,
};

static const struct key status_keys[] = {
	{.name = "branch",
		.type = KEY_TEXT,
		AT(status.branch),
		.standard = "deployments",
		.env = "AVIARY_STATUS_BRANCH",
		.doc = "Branch that Aviary commits its record to."},
	{.name = "author",
		.type = KEY_TEXT,
		AT(status.author),
		.standard = "Aviary <aviary@localhost>",
		.doc = "Author of these commits, written as Name <mail>."},
	{.name = "url",
		.type = KEY_TEXT,
		AT(status.url),
		.doc = "Another repository for the status branch. Default: repository.url."},
	{.name = "signing_key_file",
		.type = KEY_TEXT,
		AT(status.signing_key_file),
		.doc = "Private ed25519 key in OpenSSH's format, without a passphrase, that signs "
		       "these commits and their tags as git does with gpg.format ssh."},
	KEYS_END,
};

static const struct key webhook_keys[] = {
	{.name = "forge",
		.type = KEY_TEXT,
		IN(webhook_file, forge),
		.required = true,
		.doc = "github, gitlab, gitea, forgejo or bitbucket. Its deliveries go to "
		       "/webhook/<forge>."},
	{.name = "secret_file",
		.type = KEY_TEXTS,
		IN(webhook_file, secret_files),
		.required = true,
		.doc = "File with the webhook's secret. Several: each of them is accepted, so that "
		       "a "
		       "secret can be changed without losing deliveries."},
	KEYS_END,
};

static const struct key token_keys[] = {
	{.name = "name",
		.type = KEY_TEXT,
		IN(token_file, name),
		.required = true,
		.doc = "Who it belongs to, for logs and records."},
	{.name = "file",
		.type = KEY_TEXT,
		IN(token_file, file),
		.required = true,
		.doc = "File with the token."},
	{.name = "may",
		.type = KEY_TEXTS,
		IN(token_file, may),
		.required = true,
		.doc = "What it allows: read, write, approve."},
	KEYS_END,
};

static const struct key hosts_keys[] = {
	{.name = "ssh_key_file",
		.type = KEY_TEXT,
		AT(hosts.ssh_key_file),
		.doc = "Private key that logs in to hosts (driver ssh), in OpenSSH's format, "
		       "without a passphrase. Read again when it changes."},
	{.name = "known_hosts_file",
		.type = KEY_TEXT,
		AT(hosts.known_hosts_file),
		.doc = "Host keys in OpenSSH's format; a host that is not listed is refused, "
		       "unless the inventory has its host_key_fingerprint. Read again when it "
		       "changes."},
	{.name = "concurrency",
		.type = KEY_INT,
		AT(hosts.concurrency),
		.standard = "32",
		.min = 1,
		.max = 1000,
		.doc = "Connections to hosts at the same time."},
	{.name = "pulls",
		.type = KEY_INT,
		AT(hosts.pulls),
		.standard = "10",
		.min = 1,
		.max = 1000,
		.doc = "Hosts that pull images at the same time (driver ssh with activate: "
		       "compose); the others wait, not connected."},
	LATER("resolve"),
	{.name = "transport",
		.type = KEY_ENUM,
		AT(hosts.transport),
		.words = transports,
		.standard = "libssh2",
		.doc = "libssh2: connections of our own, the fastest. openssh: the program ssh, "
		       "for hosts that have no algorithm in common with libssh2, certificates, "
		       "FIDO keys and ssh_config. aviary_transport in the inventory says it for "
		       "one host."},
	KEYS_END,
};

static const struct key tofu_keys[] = {
	{.name = "listen",
		.type = KEY_TEXT,
		AT(tofu.listen),
		.env = "AVIARY_TOFU_LISTEN",
		.doc = "Loopback address and port of the state backend for OpenTofu and Terraform "
		       "(backend http): /tofu/<name>, with a token of api.tokens that may write "
		       "as the password. Without it states are not served."},
	KEYS_END,
};

static const struct key api_keys[] = {
	{.name = "tokens",
		.type = KEY_LIST,
		AT(tokens),
		.keys = token_keys,
		.item_size = sizeof(struct token_file),
		.doc = "Bearer tokens of the API."},
	KEYS_END,
};

const struct key config_keys[] = {
	{.name = "listen",
		.type = KEY_TEXT,
		AT(listen),
		.standard = "127.0.0.1:8750",
		.env = "AVIARY_LISTEN",
		.doc = "Address and port for webhooks and the API; IPv6 in brackets, port 0 for "
		       "any "
		       "free one."},
	{.name = "socket",
		.type = KEY_TEXT,
		AT(socket),
		.env = "AVIARY_SOCKET",
		.doc = "Unix socket for the commands of this machine, mode 0600. Default: "
		       "aviary.sock "
		       "in state_dir."},
	{.name = "state_dir",
		.type = KEY_TEXT,
		AT(state_dir),
		.standard = "/var/lib/aviary",
		.env = "AVIARY_STATE_DIR",
		.doc = "Folder of the mirror of the repository. All of it can be fetched again."},
	{.name = "repository",
		.type = KEY_MAP,
		.keys = repository_keys,
		.doc = "The infra repository and how it is reached."},
	{.name = "status",
		.type = KEY_MAP,
		.keys = status_keys,
		.doc = "The branch that holds the deployment history. May be repository.branch "
		       "itself: "
		       "then the records stand under status/ and their commits say [skip ci]."},
	{.name = "webhooks",
		.type = KEY_LIST,
		AT(webhooks),
		.keys = webhook_keys,
		.item_size = sizeof(struct webhook_file),
		.doc = "Forges whose webhooks are accepted."},
	{.name = "webhook_max_body",
		.type = KEY_INT,
		AT(webhook_max_body),
		.standard = "26214400",
		.min = 1024,
		.max = 268435456,
		.doc = "Bytes of the largest body that is accepted; larger ones get 413."},
	{.name = "age_key_file",
		.type = KEY_TEXT,
		AT(age_key_file),
		.env = "AVIARY_AGE_KEY_FILE",
		.doc = "File with age identities that open the SOPS files. SOPS_AGE_KEY_FILE and "
		       "SOPS_AGE_KEY are read too."},
	{.name = "api",
		.type = KEY_MAP,
		.keys = api_keys,
		.doc = "Who may use the API over the network."},
	{.name = "log_format",
		.type = KEY_ENUM,
		AT(log_format),
		.words = log_formats,
		.standard = "text",
		.env = "AVIARY_LOG_FORMAT",
		.doc = "Form of the log on standard error."},
	{.name = "log_level",
		.type = KEY_ENUM,
		AT(log_level),
		.words = log_levels,
		.standard = "info",
		.env = "AVIARY_LOG_LEVEL",
		.doc = "Lines below this level are not written."},
	{.name = "hosts",
		.type = KEY_MAP,
		.keys = hosts_keys,
		.doc = "How the hosts of clients are reached (driver ssh)."},
	{.name = "tofu",
		.type = KEY_MAP,
		.keys = tofu_keys,
		.doc = "States of OpenTofu, kept encrypted on the branch tofu-state of the "
		       "repository with the status branch."},
	LATER("forge"),
	LATER("notify"),
	KEYS_END,
};

/* Order of the words is the order of the enums. */
_Static_assert(LOG_TEXT == 0 && LOG_JSON == 1, "log_formats");
_Static_assert(LOG_DEBUG == 0 && LOG_INFO == 1 && LOG_WARN == 2 && LOG_ERROR == 3, "log_levels");
