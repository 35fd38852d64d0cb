/* aviary-secrets(1), made from the table of subcommands */
#include "base/keys.h"
#include "server/cli/secrets.h"
#include "server/man_parts.h"

static const struct man_item exit_states[] = {
	{"0", "Fine. For check and isolation: nothing was found."},
	{"1", "Failed: the file cannot be read or does not parse, its metadata are wrong, a rule "
	      "is missing, a key file is wrong; or something was found."},
	{"2", "Wrong usage."},
	{"25", "A value does not decrypt: it was changed, or moved to another key."},
	{"51", "MAC mismatch: values were changed, added or removed without sops. Nothing is "
	       "printed then, and there is no option to go on."},
	{"128", "None of the keys opens the file. The message names each recipient and the reason. "
		"Also when all its recipients are of kinds that are not supported."},
	{"200", "edit: nothing was changed, so nothing was written."},
	{"203", "encrypt: the file is encrypted already."},
};

static const struct man_item variables[] = {
	{"SOPS_AGE_KEY_FILE", "File with age identities; a warning says when others can read it."},
	{"SOPS_AGE_KEY", "The identities themselves, parted by line ends or blanks."},
	{"SOPS_AGE_SSH_PRIVATE_KEY_FILE", "Private SSH key, ed25519 or RSA."},
	{"SOPS_AGE_KEY_CMD, SOPS_AGE_SSH_PRIVATE_KEY_CMD",
		"Program that prints age identities or a private SSH key, split as EDITOR is. It "
		"is run once, whatever is opened, with the terminal, and may ask there; "
		"SOPS_AGE_RECIPIENT is not set for it. The service and validate never run it."},
	{"SOPS_AGE_RECIPIENTS", "Recipients for encrypt and new files of edit, instead of those "
				"of the rule; --age goes before it."},
	{"SOPS_CONFIG", "Configuration instead of .sops.yaml; --config goes before it."},
	{"SOPS_EDITOR, EDITOR",
		"Editor of edit, split at blanks without a shell. Quotes and backslashes are those "
		"of sh, nothing is expanded. Without both: the first of vim, nano and vi."},
	{"XDG_CONFIG_HOME", "Where sops/age/keys.txt is looked for instead of ~/.config."},
};

static const struct man_item files[] = {
	{".sops.yaml", "Rules for new files, in the working folder or the nearest one above it. "
		       "The first rule whose path_regex is found in the path of the file counts."},
	{"~/.config/sops/age/keys.txt", "Age identities, if it is there."},
	{"~/.ssh/id_ed25519, ~/.ssh/id_rsa",
		"SSH keys, if they are there. A passphrase is asked for at the terminal."},
	{"/dev/shm", "The plain text of edit lies below it, in a folder for its owner alone, and "
		     "is wiped at the end. Without it: a memory file."},
};

static const char description[] =
	"Opens, writes and checks SOPS files with age keys: YAML, JSON, dotenv, INI "
	"and binary ones. They are those of sops 3.13: either program opens what the "
	"other wrote. All is done in the process, no other program is run but the "
	"editor and one that prints keys. Post-quantum keys, plugins and keys of cloud "
	"services are not supported and refused by name. Files are written beside the old "
	"ones, read "
	"back, decrypted, compared and renamed. The service reads fewer keys than "
	"this command, see aviary.yaml(5).";

void man_write_secrets(struct buf *out)
{
	man_add_title(out, "aviary-secrets", 1, "files of secrets: open, write, check");
	buf_add_str(out, ".Sh SYNOPSIS\n.Nm aviary secrets\n.Ar command\n.Op Ar argument ...\n"
			 ".Sh DESCRIPTION\n");
	keys_man_prose(description, out);
	buf_add_str(out, ".Sh COMMANDS\n");
	for (size_t i = 0; secrets_commands[i]; i++) {
		auto_buf struct buf usage = BUF_INIT(16384);
		secrets_usage(secrets_commands[i], &usage);
		buf_addf(out, ".Ss aviary secrets %s\n", secrets_commands[i]->name);
		keys_man_prose(secrets_commands[i]->summary, out);
		man_add_literal(out, usage.text);
	}
	buf_add_str(out, ".Sh ENVIRONMENT\n");
	man_add_items(out, "Ev", variables, ARRAY_LEN(variables));
	buf_add_str(out, ".Sh FILES\n");
	man_add_items(out, "Pa", files, ARRAY_LEN(files));
	buf_add_str(out, ".Sh EXIT STATUS\nAs those of sops where the meaning is the same, but "
			 "for 2.\n");
	man_add_items(out, "", exit_states, ARRAY_LEN(exit_states));
	buf_add_str(out, ".Sh EXAMPLES\nA key, and a file for it:\n");
	man_add_literal(out, "$ aviary secrets keygen -o ~/.config/sops/age/keys.txt\n"
			     "$ aviary secrets encrypt -i secrets/shared.sops.yaml\n"
			     "$ aviary secrets edit secrets/shared.sops.yaml\n");
	buf_add_str(out, "Somebody left:\n");
	man_add_literal(out, "$ aviary secrets updatekeys -y secrets/*.sops.yaml\n"
			     "$ aviary secrets rotate -i secrets/shared.sops.yaml\n");
	buf_add_str(out, "Before a push:\n");
	man_add_literal(out, "$ aviary secrets check\n$ aviary secrets isolation\n");
	buf_add_str(out, ".Sh SEE ALSO\n.Xr aviary 1 ,\n.Xr aviary.yaml 5 ,\n.Xr fleet.yaml 5\n");
}
