/* git/transport_http.h - git over HTTP (libcurl)
 *
 * A request is collected whole before it is sent: pushes of Aviary are small, and a body of known
 * length passes every proxy. Answers are streamed. Not over base/http_client: that one keeps whole
 * answers up to a limit, this one holds a transfer half-way while libgit2 works.
 */
#pragma once
#include "git/transport.h"

/** Factory of the sub-transport; @p param is a struct transport. */
int transport_http_new(git_smart_subtransport **out, git_transport *owner, void *param);
