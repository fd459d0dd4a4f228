---------------------------- MODULE AtLeastOnce ----------------------------
(***************************************************************************)
(* Two workers of a consumer group score one partition at least once: a    *)
(* result is produced and confirmed, and offsets are committed by the      *)
(* consumer. Faults are those of ExactlyOnce.tla that concern no           *)
(* transaction; a worker has several batches in flight.                    *)
(* Without either of the safeguards in capitals, records are lost.         *)
(***************************************************************************)
EXTENDS Naturals, FiniteSets

CONSTANTS
    Batches,    \* the partition holds batches 1..Batches; offset b means that the batches up to b are done
    MaxFaults,
    CONFIRMED_BEFORE_DONE,  \* a batch is done when the broker has its results, not when it was read
    LONGEST_PREFIX          \* an offset is committed when all batches before it are done, not when one behind it is

VARIABLES
    group,      \* generation, members, and the partition's owner
    results,    \* the batches whose results the output topic holds
    committed,  \* the group's committed offset
    net,        \* OffsetCommit requests in flight
    worker,     \* what each worker knows; `sent` and `done` are batches of its current assignment (`lease`)
    faults
vars == <<group, results, committed, net, worker, faults>>

Workers == {"w1", "w2"}
Other(w) == CHOOSE v \in Workers : v # w
Fresh == [gen |-> 0, lease |-> FALSE, first |-> 1, next |-> 1, sent |-> {}, done |-> {}]

Init ==
    /\ group = [gen |-> 1, members |-> Workers, owner |-> "w1"]
    /\ results = {} /\ committed = 0 /\ net = {} /\ faults = MaxFaults
    /\ worker = [w \in Workers |-> [Fresh EXCEPT !.gen = 1]]

Fault == faults > 0 /\ faults' = faults - 1
Without(w) == [gen |-> group.gen + 1, members |-> group.members \ {w},
               owner |-> IF group.owner = w THEN Other(w) ELSE group.owner]

Assigned(w) ==
    /\ group.owner = w /\ w \in group.members /\ worker[w].gen = group.gen
    /\ ~worker[w].lease
    /\ worker' = [worker EXCEPT ![w].lease = TRUE, ![w].first = committed + 1, ![w].next = committed + 1]
    /\ UNCHANGED <<group, results, committed, net, faults>>

\* Fault: the partition is revoked; the worker did not finish what it had in flight in time.
Revoked(w) ==
    /\ group.owner = w /\ w \in group.members /\ worker[w].gen = group.gen /\ worker[w].lease
    /\ Fault
    /\ group' = [group EXCEPT !.gen = @ + 1, !.owner = Other(w)]
    /\ worker' = [worker EXCEPT ![w] = [Fresh EXCEPT !.gen = worker[w].gen]]
    /\ UNCHANGED <<results, committed, net>>

\* Fault: a session expires. The group continues without a worker that does not know it.
Expired(w) ==
    /\ w \in group.members
    /\ Fault
    /\ group' = Without(w)
    /\ UNCHANGED <<results, committed, net, worker>>

\* That worker learns of it (or a process has ended, and another one starts), drops its batches, and joins.
Lost(w) ==
    /\ w \notin group.members
    /\ group' = [group EXCEPT !.members = @ \union {w}]
    /\ worker' = [worker EXCEPT ![w] = [Fresh EXCEPT !.gen = group.gen]]
    /\ UNCHANGED <<results, committed, net, faults>>

Synced(w) ==
    /\ w \in group.members /\ worker[w].gen # group.gen
    /\ worker' = [worker EXCEPT ![w].gen = group.gen]
    /\ UNCHANGED <<group, results, committed, net, faults>>

\* A batch is read and scored, and its results are in flight.
Sent(w) ==
    /\ worker[w].lease /\ worker[w].next <= Batches
    /\ worker' = [worker EXCEPT ![w].next = @ + 1, ![w].sent = @ \union {worker[w].next},
                                ![w].done = IF CONFIRMED_BEFORE_DONE THEN @ ELSE @ \union {worker[w].next}]
    /\ UNCHANGED <<group, results, committed, net, faults>>

\* The broker has a batch's results, and confirms them: not always in the order in which they were sent.
Confirmed(w, b) ==
    /\ b \in worker[w].sent
    /\ results' = results \union {b}
    /\ worker' = [worker EXCEPT ![w].sent = @ \ {b}, ![w].done = @ \union {b}]
    /\ UNCHANGED <<group, committed, net, faults>>

\* The offset that the ledger allows.
Committable(w) ==
    LET last(b) == IF LONGEST_PREFIX THEN \A c \in worker[w].first..b : c \in worker[w].done ELSE b \in worker[w].done
    IN  {b \in worker[w].first..Batches : last(b)}
CommitSent(w) == \E b \in Committable(w) :
    /\ worker[w].lease /\ b # committed
    /\ \A c \in Committable(w) : c <= b
    /\ net' = net \union {[from |-> w, offset |-> b, gen |-> worker[w].gen]}
    /\ UNCHANGED <<group, results, committed, worker, faults>>

\* The broker accepts it only from members of this generation; a late one may set the group back.
CommitArrived(m) ==
    /\ committed' = IF m.gen = group.gen /\ m.from \in group.members THEN m.offset ELSE committed
    /\ net' = net \ {m}
    /\ UNCHANGED <<group, results, worker, faults>>

Done == committed = Batches /\ UNCHANGED vars

Next ==
    \/ \E w \in Workers :
        \/ Assigned(w) \/ Revoked(w) \/ Expired(w) \/ Lost(w) \/ Synced(w) \/ Sent(w) \/ CommitSent(w)
        \/ \E b \in 1..Batches : Confirmed(w, b)
    \/ \E m \in net : CommitArrived(m)
    \/ Done

Fairness == WF_vars(\E m \in net : CommitArrived(m)) /\ \A w \in Workers :
    /\ WF_vars(Assigned(w)) /\ WF_vars(Lost(w)) /\ WF_vars(Synced(w)) /\ WF_vars(Sent(w)) /\ WF_vars(CommitSent(w))
    /\ \A b \in 1..Batches : WF_vars(Confirmed(w, b))

Spec == Init /\ [][Next]_vars
FairSpec == Spec /\ Fairness

\* Nothing is lost: each record before the committed offset has its result.
InvNothingLost == \A b \in 1..committed : b \in results
\* Every record is done eventually.
EventuallyDone == <>(committed = Batches)
=============================================================================
