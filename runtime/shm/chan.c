#include "runtime/shm/chan.h"
