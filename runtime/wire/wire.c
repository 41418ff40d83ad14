#include "runtime/wire/wire.h"
