/* reconcile/secret_scan.h - values in plain files that look like keys and passwords
 *
 * Looked for: private keys (age, PEM, SSH), tokens of well-known services by their form, and, in
 * files of settings, literal values of names that end in password, secret, token, api_key, ...
 * Names and lines are told, values never. `aviary:allow` on the line or the one above it says that
 * a value is meant to be public.
 */
#pragma once
#include "base/problems.h"

/** Look at one file's text. Private keys and tokens are errors, the rest warnings. */
void secret_scan(const char *path, const char *text, size_t len, struct problems *problems);
