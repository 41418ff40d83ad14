#include "runtime/keeper/keeper.h"
