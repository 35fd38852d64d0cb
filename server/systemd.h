/* server/systemd.h - telling systemd how we are (sd_notify(3)): one datagram, no library */
#pragma once

/** Send "READY=1", "WATCHDOG=1" or "STOPPING=1" to $NOTIFY_SOCKET; nothing where there is none. */
void systemd_notify(const char *state);
