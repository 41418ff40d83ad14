%% Erlang/OTP's processes, in the rows of light actors. Reads names of rows, answers each with a line
%% of JSON, as peer.py does. Two schedulers, as rtc's rows have two threads.
-module(otp_peer).
-export([main/0]).

-define(PINGS, 40000).
-define(COUNTS, 1000000).
-define(FORKS, 40000).
-define(IDLE, 100000).
-define(ROUNDS, 5).

main() ->
    case io:get_line("") of
        eof -> halt(0);
        Line ->
            answer(string:trim(Line)),
            main()
    end.

answer("light_pingpong") -> row("light_pingpong", "ns", fun() -> 1.0e9 / rate(fun ping/0, ?PINGS) end);
answer("light_count") -> row("light_count", "1/s", fun() -> rate(fun count/0, ?COUNTS) end);
answer("light_create") -> row("light_create", "1/s", fun() -> rate(fun create/0, ?FORKS) end);
answer("light_memory") -> row("light_memory", "B", fun memory/0);
answer(Name) -> io:format("{\"name\": \"~s\"}~n", [Name]).

row(Name, Unit, Do) ->
    Do(),
    Values = lists:sort([Do() || _ <- lists:seq(1, ?ROUNDS)]),
    io:format("{\"name\": \"~s\", \"unit\": \"~s\", \"value\": ~p, \"min\": ~p, \"max\": ~p}~n",
              [Name, Unit, lists:nth(?ROUNDS div 2 + 1, Values), hd(Values), lists:last(Values)]).

seconds() -> list_to_integer(os:getenv("BENCH_MILLISECONDS", "1000")) / 1000.

rate(Do, N) -> rate(Do, N, erlang:monotonic_time(nanosecond), 0).
rate(Do, N, Begin, Done) ->
    Do(),
    Took = (erlang:monotonic_time(nanosecond) - Begin) / 1.0e9,
    case Took < seconds() of
        true -> rate(Do, N, Begin, Done + N);
        false -> (Done + N) / Took
    end.

%% Savina's ping-pong: ping tells itself between rounds.
ping() ->
    Main = self(),
    Pong = spawn(fun pong/0),
    Ping = spawn(fun() -> ping(Pong, Main, ?PINGS) end),
    Ping ! round,
    receive done -> ok end.
ping(Pong, Main, 0) -> Pong ! stop, Main ! done;
ping(Pong, Main, Left) ->
    receive round -> Pong ! {ping, self()} end,
    receive pong -> self() ! round end,
    ping(Pong, Main, Left - 1).
pong() ->
    receive
        {ping, From} -> From ! pong, pong();
        stop -> ok
    end.

count() ->
    Main = self(),
    Counter = spawn(fun() -> counter(0) end),
    spawn(fun() -> produce(Counter, ?COUNTS), Counter ! {retrieve, Main} end),
    receive {count, ?COUNTS} -> ok end.
produce(_, 0) -> ok;
produce(Counter, Left) -> Counter ! increment, produce(Counter, Left - 1).
counter(N) ->
    receive
        increment -> counter(N + 1);
        {retrieve, From} -> From ! {count, N}
    end.

create() ->
    Main = self(),
    spawn(fun() -> fork(Main, ?FORKS) end),
    gather(?FORKS).
fork(_, 0) -> ok;
fork(Main, Left) ->
    spawn(fun() -> receive start -> Main ! math:sin(37.2) end end) ! start,
    fork(Main, Left - 1).
gather(0) -> ok;
gather(Left) -> receive X when is_float(X) -> gather(Left - 1) end.

memory() ->
    erlang:garbage_collect(),
    Before = erlang:memory(processes),
    Main = self(),
    Pids = [spawn(fun() -> idle(Main) end) || _ <- lists:seq(1, ?IDLE)],
    [Pid ! start || Pid <- Pids],
    [receive {here, Pid} -> ok end || Pid <- Pids],
    After = erlang:memory(processes),
    [begin Ref = monitor(process, Pid), exit(Pid, kill), receive {'DOWN', Ref, _, _, _} -> ok end end
     || Pid <- Pids],
    (After - Before) / ?IDLE.
idle(Main) ->
    receive start -> Main ! {here, self()} end,
    receive stop -> ok end.
