// The version of the `corodump` command. The build passes it; a compile by hand gets this one.
#pragma once

#ifndef CORODUMP_VERSION
#define CORODUMP_VERSION "0.1.0"
#endif
