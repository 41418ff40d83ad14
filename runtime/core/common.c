#include "runtime/core/core.h"
