Feature: Priorities
  Interactive goes first, each lane first in, first out; batch that has waited its bound goes next.

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
