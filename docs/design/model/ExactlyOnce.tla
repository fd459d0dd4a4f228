---------------------------- MODULE ExactlyOnce ----------------------------
(***************************************************************************)
(* Two workers of a consumer group score one partition exactly once: each  *)
(* flush is a Kafka transaction of a batch's results and its offset.       *)
(* Workers, brokers and network take their steps in any order; MaxFaults   *)
(* bounds how many of those marked "Fault" happen in one run.              *)
(* The constants in capitals are safeguards: without any one of them, an   *)
(* invariant fails.                                                        *)
(***************************************************************************)
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
    Batches,    \* the partition holds batches 1..Batches; offset b means that the batches up to b are done
    MaxFaults,
    NEW_EPOCH_AFTER_UNCERTAIN_END,      \* worker: a new producer takes over after an EndTxn that was sent twice,
    NEW_EPOCH_AFTER_UNCERTAIN_OFFSETS,  \* worker: ... and after such a TxnOffsetCommit
    METADATA_BEFORE_LEASE,  \* worker: the group's metadata is read before the assignment (`lease`) is checked
    LEARN_AFTER_SILENCE,    \* worker: after a replacement, the group's offset shows what need not be sent again
    REQUIRE_STABLE,         \* worker: an offset is read when no open transaction holds one for the partition
    GROUP_FENCING           \* broker: TxnOffsetCommit must name the group's generation (KIP-447)

VARIABLES
    group,      \* group coordinator: generation, members, and the partition's owner
    coord,      \* transaction coordinator: epoch and state of each worker's transactional.id
    results,    \* the output partition, without what was aborted
    pending,    \* the offset in each worker's open transaction, 0 if none
    committed,  \* the group's committed offset
    net,        \* requests in flight; nobody waits for the response to a late one
    worker,     \* what each worker knows; `lease`: whether it believes that the partition is assigned to it
    faults,     \* how many faults may still happen
    zombie      \* whether the broker ever took an offset from a worker that does not own the partition
vars == <<group, coord, results, pending, committed, net, worker, faults, zombie>>

Workers == {"w1", "w2"}
Other(w) == CHOOSE v \in Workers : v # w

Fresh == [step |-> "replacing", gen |-> 0, lease |-> FALSE, next |-> 1, batch |-> 0, held |-> FALSE,
          meta |-> 0, epoch |-> 0, unsure |-> FALSE]

Init ==
    /\ group = [gen |-> 1, members |-> Workers, owner |-> "w1"]
    /\ coord = [w \in Workers |-> [epoch |-> 0, state |-> "Empty"]]
    /\ results = <<>> /\ pending = [w \in Workers |-> 0] /\ committed = 0
    /\ worker = [w \in Workers |-> [Fresh EXCEPT !.step = "ready", !.gen = 1]]
    /\ net = {} /\ faults = MaxFaults /\ zombie = FALSE

Fault == faults > 0 /\ faults' = faults - 1
Ending(w) == coord[w].state \in {"PrepareCommit", "PrepareAbort"}
Stable == REQUIRE_STABLE => \A v \in Workers : pending[v] = 0

Request(kind, w, value, gen) ==
    [kind |-> kind, from |-> w, epoch |-> worker[w].epoch, value |-> value, gen |-> gen, late |-> FALSE]
\* The client no longer waits for a response. A request in flight may still arrive.
GivenUp(w) == {IF m.from = w THEN [m EXCEPT !.late = TRUE] ELSE m : m \in net}
\* Late requests of a former epoch are refused whenever they arrive: there is no need to keep them.
Fenced(w) == {m \in net : m.from # w \/ ~m.late}

\* The output partition after a transaction of w: its results become visible, or disappear.
Shown(w) == [i \in 1..Len(results) |->
                IF results[i].by = w THEN [results[i] EXCEPT !.open = FALSE] ELSE results[i]]
Dropped(w) == SelectSeq(results, LAMBDA r : ~(r.open /\ r.by = w))

---------------------------------------------------------------------------
(* The consumer group, and worker/kafka/consumer_client.py *)
\* A worker gets the partition, and starts at the committed offset.
Assigned(w) ==
    /\ group.owner = w /\ w \in group.members /\ worker[w].gen = group.gen
    /\ ~worker[w].lease /\ Stable
    /\ worker' = [worker EXCEPT ![w].lease = TRUE, ![w].next = committed + 1]
    /\ UNCHANGED <<group, coord, results, pending, committed, net, faults, zombie>>

\* Fault: the partition is revoked; the worker did not finish what it had in flight in time.
Revoked(w) ==
    /\ group.owner = w /\ w \in group.members /\ worker[w].gen = group.gen /\ worker[w].lease
    /\ Fault
    /\ group' = [group EXCEPT !.gen = @ + 1, !.owner = Other(w)]
    /\ worker' = [worker EXCEPT ![w].lease = FALSE, ![w].next = 1, ![w].held = FALSE]
    /\ UNCHANGED <<coord, results, pending, committed, net, zombie>>

Without(w) == [gen |-> group.gen + 1, members |-> group.members \ {w},
               owner |-> IF group.owner = w THEN Other(w) ELSE group.owner]

\* Fault: a session expires. The group continues without a worker that does not know it.
Expired(w) ==
    /\ w \in group.members
    /\ Fault
    /\ group' = Without(w)
    /\ UNCHANGED <<coord, results, pending, committed, net, worker, zombie>>

\* That worker learns of it, drops its batches, and joins again.
Lost(w) ==
    /\ w \notin group.members
    /\ group' = [group EXCEPT !.members = @ \union {w}]
    /\ worker' = [worker EXCEPT ![w].lease = FALSE, ![w].next = 1, ![w].held = FALSE, ![w].gen = group.gen]
    /\ UNCHANGED <<coord, results, pending, committed, net, faults, zombie>>

\* Fault: the group rebalances, and the partition keeps its owner.
Rebalanced ==
    /\ Fault
    /\ group' = [group EXCEPT !.gen = @ + 1]
    /\ UNCHANGED <<coord, results, pending, committed, net, worker, zombie>>

\* A member's client learns the latest generation.
Synced(w) ==
    /\ w \in group.members /\ worker[w].gen # group.gen
    /\ worker' = [worker EXCEPT ![w].gen = group.gen]
    /\ UNCHANGED <<group, coord, results, pending, committed, net, faults, zombie>>

---------------------------------------------------------------------------
(* A worker's flush: ExactlyOnce in worker/delivery/exactly_once.py *)
Idle(w) == [worker[w] EXCEPT !.step = "ready", !.batch = 0, !.held = FALSE]
Again(w) == [worker[w] EXCEPT !.step = "again"]
Taken(w) == IF worker[w].step = "again" THEN worker[w]
            ELSE [worker[w] EXCEPT !.batch = worker[w].next, !.next = @ + 1, !.held = TRUE]
Current(w) == worker[w].epoch = coord[w].epoch

\* A transaction begins: a batch is scored, or sent again, and its result is delivered. AddPartitionsToTxn opens the
\* transaction, or reports that the epoch is over.
Begun(w) ==
    /\ worker[w].step = "again" \/ (worker[w].step = "ready" /\ worker[w].lease /\ worker[w].next <= Batches)
    /\ ~worker[w].unsure /\ ~Ending(w)
    /\ coord' = IF Current(w) THEN [coord EXCEPT ![w].state = "Ongoing"] ELSE coord
    /\ results' = IF Current(w) THEN Append(results, [batch |-> Taken(w).batch, by |-> w, open |-> TRUE]) ELSE results
    /\ worker' = [worker EXCEPT ![w] = [Taken(w) EXCEPT !.step = IF Current(w) THEN "sent" ELSE "replacing"]]
    /\ UNCHANGED <<group, pending, committed, net, faults, zombie>>

Aborting(w) ==
    /\ net' = net \union {Request("EndTxn", w, "abort", 0)}
    /\ worker' = [worker EXCEPT ![w].step = "aborting", ![w].meta = 0]
    /\ UNCHANGED coord

\* AddOffsetsToTxn, which opens the transaction if it is not open; then TxnOffsetCommit.
Storing(w, meta) ==
    /\ coord' = IF Current(w) THEN [coord EXCEPT ![w].state = "Ongoing"] ELSE coord
    /\ net' = IF Current(w) THEN net \union {Request("TxnOffsetCommit", w, worker[w].batch, meta)} ELSE net
    /\ worker' = [worker EXCEPT ![w].step = IF Current(w) THEN "storing" ELSE "replacing", ![w].meta = 0]

\* Before a commit, the group's metadata is read and the assignment is checked: at two moments.
ReadMetadata(w) ==
    /\ worker[w].step = "sent"
    /\ IF METADATA_BEFORE_LEASE
       THEN worker' = [worker EXCEPT ![w].step = "looked", ![w].meta = worker[w].gen] /\ UNCHANGED <<coord, net>>
       ELSE IF worker[w].held THEN worker' = [worker EXCEPT ![w].step = "looked"] /\ UNCHANGED <<coord, net>>
            ELSE Aborting(w)
    /\ UNCHANGED <<group, results, pending, committed, faults, zombie>>

LookedAtLease(w) ==
    /\ worker[w].step = "looked" /\ ~Ending(w)
    /\ IF METADATA_BEFORE_LEASE
       THEN IF worker[w].held THEN Storing(w, worker[w].meta) ELSE Aborting(w)
       ELSE Storing(w, worker[w].gen)
    /\ UNCHANGED <<group, results, pending, committed, faults, zombie>>

---------------------------------------------------------------------------
(* Requests arrive. EndTxn before version 5 ends whatever transaction of its epoch is open. *)
OffsetAnswer(m) ==
    IF m.epoch # coord[m.from].epoch THEN "fenced"
    ELSE IF coord[m.from].state # "Ongoing" \/ (GROUP_FENCING /\ m.gen # group.gen) THEN "refused"
    ELSE "ok"

EndAnswer(m) ==
    IF m.epoch # coord[m.from].epoch THEN "fenced"
    ELSE IF coord[m.from].state = "Ongoing" THEN "ok"
    ELSE IF coord[m.from].state = (IF m.value = "commit" THEN "CompleteCommit" ELSE "CompleteAbort") THEN "ok"
    ELSE "invalid"

Heard(m, answer) ==
    LET w == m.from  step == worker[w].step  left == net \ {m}
        Then(next) == worker' = [worker EXCEPT ![w].step = next]
    IN  IF m.late THEN net' = left /\ UNCHANGED worker
        ELSE IF answer = "fenced" THEN net' = left /\ Then("replacing")
        ELSE IF answer = "invalid" THEN net' = left /\ Then("dead")
        ELSE IF step = "storing" /\ answer = "ok"
        THEN net' = left \union {Request("EndTxn", w, "commit", 0)} /\ Then("committing")
        ELSE IF step = "storing"
        THEN net' = left \union {Request("EndTxn", w, "abort", 0)} /\ Then("aborting")
        ELSE /\ net' = left
             /\ worker' = [worker EXCEPT ![w] = IF step = "aborting" /\ worker[w].held THEN Again(w) ELSE Idle(w)]

OffsetsArrived(m) ==
    /\ m.kind = "TxnOffsetCommit" /\ ~Ending(m.from)
    /\ Heard(m, OffsetAnswer(m))
    /\ pending' = IF OffsetAnswer(m) = "ok" THEN [pending EXCEPT ![m.from] = m.value] ELSE pending
    /\ zombie' = (zombie \/ (OffsetAnswer(m) = "ok" /\ (group.owner # m.from \/ m.from \notin group.members)))
    /\ UNCHANGED <<group, coord, results, committed, faults>>

EndArrived(m) ==
    /\ m.kind = "EndTxn" /\ ~Ending(m.from)
    /\ Heard(m, EndAnswer(m))
    /\ coord' = IF EndAnswer(m) = "ok" /\ coord[m.from].state = "Ongoing"
                THEN [coord EXCEPT ![m.from].state = IF m.value = "commit" THEN "PrepareCommit" ELSE "PrepareAbort"]
                ELSE coord
    /\ UNCHANGED <<group, results, pending, committed, faults, zombie>>

\* The coordinator has answered; now it writes the markers, which make the transaction visible, or discard it.
MarkersWritten(w) ==
    /\ Ending(w)
    /\ LET commits == coord[w].state = "PrepareCommit"
       IN  /\ results' = (IF commits THEN Shown(w) ELSE Dropped(w))
           /\ committed' = (IF commits /\ pending[w] # 0 THEN pending[w] ELSE committed)
           /\ coord' = [coord EXCEPT ![w].state = (IF commits THEN "CompleteCommit" ELSE "CompleteAbort")]
    /\ pending' = [pending EXCEPT ![w] = 0]
    /\ UNCHANGED <<group, net, worker, faults, zombie>>

\* Fault: the client gets no response in time and sends its request again, unseen by the worker. The first one may arrive
\* at any time, or never.
SentAgain(m) ==
    /\ ~m.late
    /\ Fault
    /\ net' = net \union {[m EXCEPT !.late = TRUE]}
    /\ worker' = [worker EXCEPT ![m.from].unsure = @ \/ (IF m.kind = "EndTxn" THEN NEW_EPOCH_AFTER_UNCERTAIN_END
                                                         ELSE NEW_EPOCH_AFTER_UNCERTAIN_OFFSETS)]
    /\ UNCHANGED <<group, coord, results, pending, committed, zombie>>

---------------------------------------------------------------------------
(* A producer is replaced: decision 14 *)
\* Fault: a transaction takes too long. The coordinator aborts it and fences its producer.
TimedOut(w) ==
    /\ coord[w].state = "Ongoing"
    /\ Fault
    /\ coord' = [coord EXCEPT ![w].state = "CompleteAbort", ![w].epoch = @ + 1]
    /\ results' = Dropped(w) /\ pending' = [pending EXCEPT ![w] = 0] /\ net' = Fenced(w)
    /\ UNCHANGED <<group, committed, worker, zombie>>

\* Fault: a call of the client does not return.
Silent(w) ==
    /\ worker[w].step \in {"storing", "committing", "aborting"}
    /\ Fault
    /\ net' = GivenUp(w)
    /\ worker' = [worker EXCEPT ![w].step = "replacing"]
    /\ UNCHANGED <<group, coord, results, pending, committed, zombie>>

\* InitProducerId of a new client: an open transaction is aborted, one that is ending is waited for.
Replaced(w) ==
    /\ worker[w].step = "replacing" \/ (worker[w].step \in {"ready", "again"} /\ worker[w].unsure)
    /\ ~Ending(w)
    /\ coord' = [coord EXCEPT ![w].state = "Empty", ![w].epoch = @ + 1]
    /\ results' = Dropped(w) /\ pending' = [pending EXCEPT ![w] = 0] /\ net' = Fenced(w)
    /\ worker' = [worker EXCEPT ![w].epoch = coord[w].epoch + 1, ![w].unsure = FALSE,
                                ![w].step = IF @ = "replacing" THEN "learning" ELSE @]
    /\ UNCHANGED <<group, committed, faults, zombie>>

\* The group's offset shows whether the flush in flight is done.
Learned(w) ==
    /\ worker[w].step = "learning"
    /\ LEARN_AFTER_SILENCE => Stable
    /\ worker' = [worker EXCEPT ![w] = IF worker[w].held /\ (committed < worker[w].batch \/ ~LEARN_AFTER_SILENCE)
                                       THEN Again(w) ELSE Idle(w)]
    /\ UNCHANGED <<group, coord, results, pending, committed, net, faults, zombie>>

\* Fault: a process ends, and another one starts with the same transactional.id.
Restarted(w) ==
    /\ IF worker[w].step = "dead" THEN UNCHANGED faults ELSE Fault
    /\ group' = Without(w)
    /\ net' = GivenUp(w)
    /\ worker' = [worker EXCEPT ![w] = Fresh]
    /\ UNCHANGED <<coord, results, pending, committed, zombie>>

---------------------------------------------------------------------------
Done == committed = Batches /\ UNCHANGED vars

Next ==
    \/ \E w \in Workers :
        \/ Assigned(w) \/ Revoked(w) \/ Expired(w) \/ Lost(w) \/ Synced(w)
        \/ Begun(w) \/ ReadMetadata(w) \/ LookedAtLease(w) \/ MarkersWritten(w)
        \/ TimedOut(w) \/ Silent(w) \/ Replaced(w) \/ Learned(w) \/ Restarted(w)
    \/ \E m \in net : OffsetsArrived(m) \/ EndArrived(m) \/ SentAgain(m)
    \/ Rebalanced
    \/ Done

\* What stays possible happens eventually; faults need not happen.
Fairness == WF_vars(\E m \in net : OffsetsArrived(m) \/ EndArrived(m)) /\ \A w \in Workers :
    /\ WF_vars(Assigned(w)) /\ WF_vars(Lost(w)) /\ WF_vars(Synced(w)) /\ WF_vars(Begun(w)) /\ WF_vars(ReadMetadata(w))
    /\ WF_vars(LookedAtLease(w)) /\ WF_vars(MarkersWritten(w)) /\ WF_vars(Replaced(w)) /\ WF_vars(Learned(w))
    /\ WF_vars(worker[w].step = "dead" /\ Restarted(w))

Spec == Init /\ [][Next]_vars
FairSpec == Spec /\ Fairness

---------------------------------------------------------------------------
(* What the group, and a consumer with isolation.level=read_committed, may rely on *)
Visible == SelectSeq(results, LAMBDA r : ~r.open)
IsVisible(b) == \E i \in 1..Len(Visible) : Visible[i].batch = b

\* Nothing is lost: what the group has passed has its result.
InvNothingLost == \A b \in 1..committed : IsVisible(b)
\* No transaction is torn: a result is visible with its offset or not at all.
InvNothingTorn == \A b \in 1..Batches : IsVisible(b) => b <= committed
\* No result is visible twice.
InvNothingTwice == \A i, j \in 1..Len(Visible) : Visible[i].batch = Visible[j].batch => i = j
\* Results of one key stand in the order of its records.
InvInOrder == \A i, j \in 1..Len(Visible) : i < j => Visible[i].batch <= Visible[j].batch
\* A worker commits nothing of a partition that is no longer its own.
InvNoZombie == ~zombie
\* Every record is done in the end.
EventuallyDone == <>(committed = Batches)
=============================================================================
