/* tests/lib/signing.h - keys and signatures made with ssh-keygen(1), for unit tests */
#pragma once
#include "git/signers.h"

#define SIGNING_MESSAGE "tree 0\nauthor Eva\n\nfirst\n"

/** A scratch folder with the keys eva, bob (ed25519), rsa and ecdsa, freed by gitrepo_remove();
 *  NULL if ssh-keygen is not installed. */
char *signing_set_up(void);
/** First in a test that needs the keys: `scratch` is what signing_set_up() gave. The file that uses
 *  it includes cmocka.h. */
#define NEEDS_SSH_KEYGEN                                                                           \
	do {                                                                                       \
		(void)state;                                                                       \
		if (!scratch) {                                                                    \
			print_message("skipped: ssh-keygen is not installed\n");                   \
			skip();                                                                    \
		}                                                                                  \
	} while (0)

/** Run a program in a folder. @return exit status, -1 if it could not be started */
int signing_run(const char *folder, const char *const *argv, const char *input);
/** Sign SIGNING_MESSAGE: `<folder>/<name>.sig`. @param option  for ssh-keygen's -O */
void signing_make(const char *folder, const char *name, const char *const key_purpose_option[3]);
/** Text of a file in the folder; the caller frees. */
char *signing_read(const char *folder, const char *name);
/** The text with `EVA`, `BOB`, `RSA` and `ECDSA` replaced by these public keys; the caller frees.
 */
char *signing_with_keys(const char *folder, const char *text);
/** Parse such a list. Aborts if it is refused. */
struct signers *signing_list(const char *folder, const char *text);
