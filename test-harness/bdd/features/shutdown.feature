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
