#include "server/man.h"
#include "reconcile/policy.h"
#include "server/config.h"

static const char durations[] =
	"Durations are numbers with units d h m s ms in falling order, such as 1h30m or 500ms.";

static void add_title(struct buf *out, const char *name, int section, const char *what)
{
	buf_add_str(out, ".Dd November 24, 2026\n.Dt ");
	for (const char *p = name; *p; p++)
		buf_add_char(out, *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p);
	buf_addf(out, " %d\n.Os\n.Sh NAME\n.Nm %s\n.Nd %s\n", section, name, what);
}

static void add_commands(struct buf *out, const struct command *const *commands, size_t count)
{
	buf_add_str(out, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < count; i++)
		buf_addf(out, ".It Cm %s\n%s\n", commands[i]->name, commands[i]->summary);
	buf_add_str(out, ".El\n.Pp\n");
}

static void write_program(struct buf *out, const struct command *const *commands, size_t count)
{
	add_title(
		out, "aviary", 1, "keep a fleet of servers equal to an infrastructure repository");
	buf_add_str(out, ".Sh SYNOPSIS\n.Nm aviary\n.Ar command\n.Op Ar argument ...\n.Nm aviary\n"
			 ".Fl Fl version\n"
			 ".Sh DESCRIPTION\n");
	keys_man_prose(
		"Deploys the newest commit of an infrastructure repository to the clients "
		"of a fleet, canary first, rolls back what fails its checks, and commits what "
		"it did to a branch of that repository.",
		out);
	buf_add_str(out, ".Pp\nThe commands are:\n");
	add_commands(out, commands, count);
	buf_add_str(out,
		"Each command explains its options with\n.Fl Fl help .\n"
		".Sh FILES\n"
		".Bl -tag -width Ds\n"
		".It Pa /etc/aviary/aviary.yaml\nconfiguration of the service, see\n.Xr "
		"aviary.yaml 5\n"
		".It Pa fleet.yaml\npolicy, at the root of the repository, see\n.Xr fleet.yaml 5\n"
		".El\n"
		".Sh EXIT STATUS\n"
		".Bl -tag -width Ds\n"
		".It 0\nfine, also when there was nothing to do\n"
		".It 1\nrefused, failed or held\n"
		".It 2\nwrong usage\n"
		".It 3\nnothing could be reached\n"
		".It 4\nwaiting\n"
		".El\n"
		".Sh SEE ALSO\n.Xr aviary.yaml 5 ,\n.Xr fleet.yaml 5\n");
}

static void add_keys_start(struct buf *out)
{
	keys_man_prose(durations, out);
	buf_add_str(out, ".Pp\nThe keys are:\n.Bl -tag -width Ds\n");
}

static void write_config(struct buf *out)
{
	add_title(out, "aviary.yaml", 5, "configuration of the Aviary service");
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
	add_title(out, "fleet.yaml", 5, "policy of a fleet, in its infrastructure repository");
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
	else if (!strcmp(page, "aviary.yaml"))
		write_config(out);
	else if (!strcmp(page, "fleet.yaml"))
		write_policy(out);
	else
		return false;
	return true;
}
