/* rtc/error.h: the one table of errors. Every rtc call returns 0 or one of these, negative. */
#ifndef RTC_ERROR_H
#define RTC_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Of the headers; the daemon refuses a program of another protocol version. */
#define RTC_VERSION_STRING "0.1.0"

/* X(code, NAME, "text"). Codes are stable: they are written to journals and travel between hosts.
 */
#define RTC_ERROR_MAP(X)                                                        \
    X(1, INVALID, "invalid argument")                                           \
    X(2, NOMEM, "out of memory")                                                \
    X(3, TIMEOUT, "the timeout of the call passed")                             \
    X(4, AGAIN, "too much in flight; try again")                                \
    X(5, UNKNOWN_TASK, "no task of that name is registered in this program")    \
    X(6, TYPE, "a value has another type than asked for")                       \
    X(7, RANGE, "a number does not fit the type asked for")                     \
    X(8, NOT_FOUND, "no such thing")                                            \
    X(9, EXISTS, "it exists already")                                           \
    X(10, RELEASED, "the reference was released before")                        \
    X(11, FOREIGN, "the reference belongs to another job")                      \
    X(12, TASK_FAILED, "the task returned an error")                            \
    X(13, CRASHED, "the process that ran the task died")                        \
    X(14, CANCELLED, "the task was cancelled")                                  \
    X(15, DEADLINE, "the deadline of the task passed")                          \
    X(16, INFEASIBLE, "no node can ever fulfil the request")                    \
    X(17, LOST, "the object is lost")                                           \
    X(18, DEPENDENCY, "a task whose result was needed failed")                  \
    X(19, RETURNS, "the task returned another number of values than declared")  \
    X(20, DISCONNECTED, "the connection to the cluster is gone")                \
    X(21, NO_CLUSTER, "no cluster could be reached or started")                 \
    X(22, VERSION, "the versions of the two sides differ")                      \
    X(23, FORKED, "rtc cannot be used in a forked child")                       \
    X(24, STORE_FULL, "the object store is full")                               \
    X(25, TOO_LARGE, "larger than the limit")                                   \
    X(26, DISK, "the state directory cannot be written")                        \
    X(27, BUSY, "in use by another process")                                    \
    X(28, PROTOCOL, "a peer sent something malformed")                          \
    X(29, DENIED, "not permitted")                                              \
    X(30, OS, "a system call failed")                                           \
    X(31, NO_REGISTER, "an executor did not call rtc_init() in time")           \
    X(32, OOM, "killed because the node ran out of memory")                     \
    X(33, NODE_LOST, "the node that ran the task was lost")                     \
    X(34, JOB_ENDED, "the job of the task ended")                               \
    X(35, CLOSED, "the handle is shut down")                                    \
    X(36, COMMAND, "the command could not be run")                              \
    X(37, CORRUPT, "stored data fails its checksum")                            \
    X(38, UNSUPPORTED, "not supported here")                                    \
    X(39, UNKNOWN_ACTOR, "no actor of that name is registered in this program") \
    X(40, UNKNOWN_METHOD, "the actor has no method of that name")               \
    X(41, ACTOR_DEAD, "the actor is dead")                                      \
    X(42, DEADLOCK, "an actor would wait for itself")                           \
    X(43, END, "there is nothing more")

enum rtc_error_code {
    RTC_OK = 0,
#define X(code, name, text) RTC_E_##name = -(code),
    RTC_ERROR_MAP(X)
#undef X
    RTC_ERROR_COUNT_ = 44 /* beyond the last */
};

#ifdef __cplusplus
}
#endif
#endif
