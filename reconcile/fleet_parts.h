/* reconcile/fleet_parts.h - what the files of module fleet share; nobody else includes it */
#pragma once
#include "reconcile/fleet.h"

/** Fill one client from its host. @return false if errors were added (the client is left out). */
MUST_USE bool fleet_read_client(struct fleet *fleet, const struct host *host,
	struct client *client_out, struct problems *problems);

/** Where the host of a client is reached, once its folder is known. @return false if errors were
 *  added */
MUST_USE bool fleet_read_address(
	const struct fleet *fleet, struct client *client, struct problems *problems);

/** Client names, driver roots and their owners: each once in the fleet. */
void fleet_check_unique(struct fleet *fleet, struct problems *problems);

/** Variables of all hosts: versions that YAML reads as numbers, keys that are not built yet. */
void fleet_check_variables(const struct fleet *fleet, struct problems *problems);

/** Sources of release files exist; checks name apps of the fleet; stages have clients. */
void fleet_check_policy(const struct fleet *fleet, struct tree *tree, struct problems *problems);

/** Steps on the service machine: their requests render for each client, their checkout can be
 *  made. */
void fleet_check_steps(const struct fleet *fleet, struct tree *tree, struct problems *problems);

/** Files below secrets/ (and those that fleet.yaml names) are encrypted. @param checked  may be
 * NULL
 */
void fleet_check_encrypted(const struct fleet *fleet, struct tree *tree, struct tree *checked,
	struct problems *problems);
