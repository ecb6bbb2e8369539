Feature: Cancel
  A task can be canceled wherever it stands. No token comes after the answer, and its slot serves the next.

  Background:
    Given a daemon with
      | pools[0].slots=1 |

  @ORCH-CANCEL-1
  Scenario: A task that decodes
    Given I submit an endless interactive task "a"
    And "a" is running
    When I cancel "a"
    Then the open stream of "a" ends with "canceled"
    And "a" has fewer than 4000 tokens
    And reading "a" again from its start gives the same
    When I submit an interactive task "next" of 4 tokens
    Then "next" ends with "length"

  @ORCH-CANCEL-2
  Scenario: A task that waits
    Given I submit an endless interactive task "r"
    And "r" is running
    And I submit an interactive task "a" of 8 tokens
    When I cancel "a"
    Then "a" ends with "canceled"
    And "a" has 0 tokens
    And the gauge "queue_depth" with "priority=interactive" is 0

  @ORCH-CANCEL-1
  Scenario: A task whose prompt is being read
    Given I submit a task "a" with a prompt of about 3000 tokens
    And a slot is taken
    When I cancel "a"
    Then "a" ends with "canceled"
    And "a" has 0 tokens
    When I submit an interactive task "next" of 4 tokens
    Then "next" ends with "length"

  @ORCH-CANCEL-3
  Scenario: Again, and after the end
    Given I submit an interactive task "a" of 4 tokens
    And "a" ends with "length"
    When I cancel "a"
    And I cancel "a"
    Then reading "a" again from its start gives the same
    And "a" has 4 tokens

  @ORCH-CANCEL-3
  Scenario: A task that nobody submitted
    When I POST "/v1/tasks/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f/cancel"
    Then the status is 404
    And it is an error envelope with the code "INVALID_PARAMS"

  @ORCH-ERR-1
  Scenario: What is no id
    When I POST "/v1/tasks/first/cancel"
    Then the status is 400
    And it is an error envelope with the code "INVALID_PARAMS"
