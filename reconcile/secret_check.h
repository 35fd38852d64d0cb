/* reconcile/secret_check.h - the secrets of a whole repository: what is not as it should be
 *
 * Without a key: files that are not encrypted, files whose recipients are not those of
 * `.sops.yaml`, the same encrypted text in files of two clients, keys and passwords in plain files.
 * With a key: files that it does not open, values that two clients share, compared by a hash under
 * a key that is made for the run. Names are told, never values.
 */
#pragma once
#include "reconcile/fleet.h"
#include "reconcile/secrets/keyring.h"

struct secret_check {
	struct tree *tree;
	const struct fleet *fleet;     /* NULL: no fleet.yaml, files are told by their places */
	const struct keyring *keyring; /* NULL: without a key */
	bool encrypted_known;          /* reading the fleet told which files are not encrypted */
	bool lenient;                  /* what needs no action at once is a warning */
};

/** How many files were looked at, for the answer's first line. */
struct secret_counts {
	size_t encrypted, opened, plain;
};

/** Look at all files of the tree. */
void secret_check_run(const struct secret_check *check, struct secret_counts *counts_out,
	struct problems *problems);
