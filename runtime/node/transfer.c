#include "runtime/node/transfer.h"
