Feature: Priorities
  Interactive goes first, each lane first in, first out; batch that has waited its bound goes next.

  @ORCH-QUEUE-2
  Scenario: An interactive task overtakes the batch tasks that wait
    Given a daemon with
      | pools[0].slots=1 |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit 3 batch tasks "b" of 12 tokens
    When I submit an interactive task "i" of 12 tokens
    Then the field "queue_position" is 0
    When I cancel "r"
    And all tasks have ended
    Then they ended in the order "r, i, b1, b2, b3"

  @ORCH-QUEUE-3
  Scenario: A batch task that has waited its bound goes before interactive ones
    Given a daemon with
      | pools[0].slots=1           |
      | queue.batch_max_wait_s=0.2 |
      | stream.keepalive_s=0.4     |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit a batch task "b" of 12 tokens
    And a comment comes on the stream of "b"
    When I submit 3 interactive tasks "i" of 12 tokens
    And I cancel "r"
    And all tasks have ended
    Then they ended in the order "r, b, i1, i2, i3"

  @ORCH-QUEUE-5
  Scenario: Several slots decode at the same time
    Given a daemon with
      | pools[0].slots=3 |
    When I submit 3 endless interactive tasks "r"
    Then "r1" is running
    And "r2" is running
    And "r3" is running

  @ORCH-PRED-1
  Scenario: Each place further back is predicted to start later
    Given a daemon with
      | pools[0].slots=1 |
    And I submit an interactive task "measures" of 20 tokens
    And "measures" ends with "length"
    And I submit an interactive task "r" of 200 tokens
    And "r" is running
    When I submit an interactive task "first" of 200 tokens
    Then the field "queue_position" is 0
    And I note the field "predicted_start_ms" as "first"
    When I submit an interactive task "second" of 4 tokens
    Then the field "queue_position" is 1
    And the field "predicted_start_ms" is over the noted "first"
