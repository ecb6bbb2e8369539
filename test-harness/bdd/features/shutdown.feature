Feature: The stop
  Nothing new is taken, what runs may finish within the grace, every stream gets its end, the engines end. A
  second signal ends at once.

  @ORCH-STOP-1
  Scenario: What runs may finish
    Given a daemon of its own with
      | shutdown.grace_s=60 |
      | pools[0].slots=1    |
    And I submit an interactive task "a" of 300 tokens
    And "a" is running
    And its workers are noted
    When the daemon gets the signal TERM
    Then the open stream of "a" ends with "length"
    And the daemon ends with the code 0
    And none of its workers is left

  @ORCH-STOP-1 @ORCH-STOP-2
  Scenario: What does not finish within the grace, and what waits, is told so
    Given a daemon of its own with
      | shutdown.grace_s=1 |
      | pools[0].slots=1   |
    And I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "waits" of 4 tokens
    And I open the stream of "waits"
    And its workers are noted
    When the daemon gets the signal TERM
    Then the open stream of "waits" ends with the error "POOL_UNAVAILABLE"
    And the open stream of "r" ends with the error "POOL_UNAVAILABLE"
    And the daemon ends with the code 0
    And none of its workers is left

  @ORCH-STOP-3
  Scenario: A second signal ends at once
    Given a daemon of its own with
      | shutdown.grace_s=600 |
    And I submit an endless interactive task "r"
    And "r" is running
    And its workers are noted
    When the daemon gets the signal INT
    And the daemon logs "a second signal ends at once"
    And the daemon gets the signal TERM
    Then the daemon ends with the code 130
    And none of its workers is left

  @ORCH-SHAPE-2
  Scenario: A daemon that is killed takes its workers with it
    Given a daemon of its own
    And I submit an endless interactive task "r"
    And "r" is running
    And its workers are noted
    When the daemon gets the signal KILL
    Then none of its workers is left
