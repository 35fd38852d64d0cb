#include "server/man.h"
#include "reconcile/policy.h"
#include "server/config.h"
#include "server/man_parts.h"

static const char durations[] =
	"Durations are numbers with units d h m s ms in falling order, such as 1h30m or 500ms.";

void man_add_title(struct buf *out, const char *name, int section, const char *what)
{
	buf_add_str(out, ".Dd November 24, 2026\n.Dt ");
	for (const char *p = name; *p; p++)
		buf_add_char(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
	buf_addf(out, " %d\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n", section, name, what);
}

/* Text as it stands, between `.Bd -literal` and `.Ed`. */
void man_add_literal(struct buf *out, const char *text)
{
	buf_add_str(out, ".Bd -literal\n");
	for (const char *p = text; *p; p++) {
		bool starts = p == text || p[-1] == '\n';
		if (starts && (*p == '.' || *p == '\''))
			buf_add_str(out, "\\&"); /* would be a request of roff */
		if (*p == '\\')
			buf_add_str(out, "\\e");
		else if (*p == '-')
			buf_add_str(out, "\\-");
		else
			buf_add_char(out, *p);
	}
	buf_add_str(out, ".Ed\n");
}

/* What `aviary COMMAND --help` prints is told once, there. */
static void add_commands(struct buf *out, const struct command *const *commands, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		buf_addf(out, ".Ss aviary %s\n", commands[i]->name);
		keys_man_prose(commands[i]->summary, out);
		man_add_literal(out, commands[i]->usage);
	}
}

void man_add_items(struct buf *out, const char *macro, const struct man_item *items, size_t count)
{
	buf_add_str(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < count; i++) {
		buf_addf(out, ".It %s %s\n", macro, items[i].name);
		keys_man_prose(items[i].text, out);
	}
	buf_add_str(out, ".El\n");
}

static const struct man_item files[] = {
	{"/etc/aviary/aviary.yaml", "Configuration of the service, see aviary.yaml(5)."},
	{"fleet.yaml", "Policy at the root of the infra repository, see fleet.yaml(5)."},
	{"/var/lib/aviary", "The state folder (state_dir): mirror of the repository, name of this "
			    "instance, lock, socket, and the output of steps below logs/. All but "
			    "the output comes back by itself if it is lost."},
	{"/var/lib/aviary/aviary.sock",
		"Socket that status, apply, pause and so on use, mode 0600. Whoever may open "
		"it may everything."},
	{"ROOT/current", "On a host under driver.root: link to the release that runs."},
	{"ROOT/releases", "Its releases, each in a folder named by its digest."},
	{"ROOT/.aviary/state", "What Aviary activated there last, and for which rollout."},
};

static const struct man_item exit_states[] = {
	{"0", "Fine, also when there was nothing to do."},
	{"1", "Refused, failed or held. What is wrong stands on standard error or in the output."},
	{"2", "Wrong usage."},
	{"3", "Nothing could be reached: no service, no remote."},
	{"4", "Waiting."},
};

static const struct man_item signals[] = {
	{"SIGTERM", "The service answers no more webhooks, finishes or records what runs, and ends "
		    "with status 0 within 25 seconds. What it could not finish goes on after the "
		    "next start. SIGINT does the same."},
	{"SIGHUP",
		"The service reads the webhooks' secrets, the API tokens and the age keys again. "
		"If one of them is wrong, the old ones stay. The configuration itself is read at "
		"the start only."},
};

static const struct man_item variables[] = {
	{"SOPS_AGE_KEY_FILE", "File with age identities, besides age_key_file."},
	{"SOPS_AGE_KEY", "The identities themselves. Overwritten in the process at its start."},
	{"NOTIFY_SOCKET", "Set by systemd; the service says there when it is ready, alive, and "
			  "stopping."},
	{"CREDENTIALS_DIRECTORY", "Set by systemd; files below it may be readable by the group."},
};

/* Each AVIARY_* variable of aviary.yaml's table. */
static void add_overrides(struct buf *out, const struct key *keys, const char *prefix)
{
	for (const struct key *key = keys; key->name; key++) {
		if (key->env)
			buf_addf(out, ".It Ev %s\nOverrides\n.Ic %s%s\nof\n.Xr aviary.yaml 5 .\n",
				key->env, prefix, key->name);
		if (key->keys && key->type == KEY_MAP) {
			auto_free char *inner = mem_printf("%s%s.", prefix, key->name);
			add_overrides(out, key->keys, inner);
		}
	}
}

static const struct man_item activation[] = {
	{"AVIARY_CLIENT", "Name of the client."},
	{"AVIARY_RELEASE", "Digest of the release that is activated."},
	{"AVIARY_COMMIT", "Commit of the infra repository that it was made of."},
	{"AVIARY_ROLLOUT", "Id of the rollout."},
	{"AVIARY_STAGE", "Stage of the client."},
	{"AVIARY_ACTION", "onboard, upgrade or rollback."},
};

static void add_environment(struct buf *out)
{
	buf_add_str(out, ".Sh ENVIRONMENT\nA flag goes before a variable, a variable before the "
			 "file.\n.Bl -tag -width Ds\n");
	add_overrides(out, config_keys, "");
	buf_add_str(out, ".El\n");
	man_add_items(out, "Ev", variables, ARRAY_LEN(variables));
	buf_add_str(out, ".Pp\n");
	keys_man_prose(
		"The command driver.activate of fleet.yaml runs in the folder of the new release, "
		"without a shell, with PATH, HOME and LANG of the service and these:",
		out);
	man_add_items(out, "Ev", activation, ARRAY_LEN(activation));
}

static void write_program(struct buf *out, const struct command *const *commands, size_t count)
{
	man_add_title(
		out, "aviary", 1, "keep a fleet of servers equal to an infrastructure repository");
	buf_add_str(out, ".Sh SYNOPSIS\n.Nm aviary\n.Ar command\n.Op Ar argument ...\n.Nm aviary\n"
			 ".Fl Fl version\n"
			 ".Sh DESCRIPTION\n");
	keys_man_prose(
		"Deploys the newest commit of an infrastructure repository to the clients "
		"of a fleet, canary first, rolls back what fails its checks, and commits what "
		"it did to a branch of that repository. A webhook only says that it should look "
		"again: what counts is the newest commit of the tracked branch.",
		out);
	buf_add_str(out, ".Sh COMMANDS\n");
	add_commands(out, commands, count);
	buf_add_str(out, ".Sh SIGNALS\n");
	man_add_items(out, "Dv", signals, ARRAY_LEN(signals));
	add_environment(out);
	buf_add_str(out, ".Sh FILES\n");
	man_add_items(out, "Pa", files, ARRAY_LEN(files));
	buf_add_str(out, ".Sh EXIT STATUS\n");
	man_add_items(out, "", exit_states, ARRAY_LEN(exit_states));
	buf_add_str(out, ".Sh EXAMPLES\nCheck a configuration, then what a commit would do:\n");
	man_add_literal(out, "$ aviary serve -c aviary.yaml --check\n"
			     "$ aviary plan --from origin/main --to HEAD\n");
	buf_add_str(out, "What reverting it would do, and whose data would have to come back:\n");
	man_add_literal(out, "$ git fetch\n$ aviary plan --revert HEAD\n");
	buf_add_str(out, "Who runs what, and how it came to that:\n");
	man_add_literal(out, "$ aviary status\n$ aviary history alpha\n");
	buf_add_str(out, ".Sh SEE ALSO\n.Xr aviary-secrets 1 ,\n.Xr aviary.yaml 5 ,\n"
			 ".Xr fleet.yaml 5\n");
}

static void add_keys_start(struct buf *out)
{
	keys_man_prose(durations, out);
	buf_add_str(out, ".Pp\nThe keys are:\n.Bl -tag -width Ds\n");
}

static void write_config(struct buf *out)
{
	man_add_title(out, "aviary.yaml", 5, "configuration of the Aviary service");
	buf_add_str(out, ".Sh DESCRIPTION\n");
	keys_man_prose(
		"The file is YAML 1.2. Unknown and repeated keys are errors. Secrets never "
		"stand in it: keys that end in _file name files, which must not be readable by "
		"others. Relative paths count from the folder of the file. A flag of the "
		"command line goes before an environment variable, that before the file.",
		out);
	add_keys_start(out);
	keys_to_man(config_keys, "", out);
	buf_add_str(out, ".El\n"
			 ".Sh EXAMPLES\n"
			 ".Bd -literal\n"
			 "listen: 127.0.0.1:8750\n"
			 "repository:\n"
			 "  url: ssh://git@forge.example.org/infra.git\n"
			 "  ssh_key_file: /etc/aviary/id_ed25519\n"
			 "  known_hosts_file: /etc/aviary/known_hosts\n"
			 "webhooks:\n"
			 "  - {forge: gitea, secret_file: /etc/aviary/webhook-secret}\n"
			 "age_key_file: /etc/aviary/age-key.txt\n"
			 "api:\n"
			 "  tokens:\n"
			 "    - {name: eva, file: /etc/aviary/token-eva, may: [read, write]}\n"
			 ".Ed\n"
			 ".Sh SEE ALSO\n.Xr aviary 1 ,\n.Xr fleet.yaml 5\n");
}

static void write_policy(struct buf *out)
{
	man_add_title(out, "fleet.yaml", 5, "policy of a fleet, in its infrastructure repository");
	buf_add_str(out, ".Sh DESCRIPTION\n");
	keys_man_prose(
		"The file stands at the root of the repository and says what releases are "
		"made of and how they reach the clients. It is YAML 1.2. Unknown and repeated "
		"keys are errors, and a commit with an error changes nothing. Values called "
		"templates are rendered with Mustache for each client.",
		out);
	add_keys_start(out);
	keys_to_man(policy_keys, "", out);
	buf_add_str(out,
		".El\n"
		".Sh EXAMPLES\n"
		".Bd -literal\n"
		"version: 1\n"
		"stages:\n"
		"  - {name: canary, bake: 10m}\n"
		"  - {name: production, batch: 25%}\n"
		"release:\n"
		"  files:\n"
		"    - {from: docker/compose.yml, to: compose.yaml}\n"
		"    - {from: templates/env.mustache, to: .env, mode: \"0600\"}\n"
		"driver:\n"
		"  kind: local\n"
		"  root: \"/srv/fleet/{{client_name}}\"\n"
		"  activate: [bin/activate, \"{{domain}}\"]\n"
		"checks:\n"
		"  nextcloud: {http: \"https://{{domain}}/status.php\", json: {installed: true}}\n"
		".Ed\n"
		".Sh SEE ALSO\n.Xr aviary 1 ,\n.Xr aviary.yaml 5\n");
}

bool man_write(
	const char *page, const struct command *const *commands, size_t count, struct buf *out)
{
	if (!strcmp(page, "aviary"))
		write_program(out, commands, count);
	else if (!strcmp(page, "aviary-secrets"))
		man_write_secrets(out);
	else if (!strcmp(page, "aviary.yaml"))
		write_config(out);
	else if (!strcmp(page, "fleet.yaml"))
		write_policy(out);
	else
		return false;
	return true;
}
