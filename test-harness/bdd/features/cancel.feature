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
