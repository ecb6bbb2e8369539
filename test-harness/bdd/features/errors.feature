Feature: Errors
  Every refusal is one object with the same five keys, and says nothing of the daemon's inside.

  Background:
    Given a daemon with
      | limits.body_mb=1 |

  @ORCH-ERR-6
  Scenario: A method that a path does not take is answered with those it takes
    When I GET "/v1/tasks/6f1d2c3e-8a4b-4c5d-9e6f-0a1b2c3d4e5f/cancel"
    Then the status is 405
    And the header "allow" is "POST"

  @ORCH-SEC-6
  Scenario: A body over the limit
    When I POST "/v1/tasks" with a body of 1100000 bytes
    Then the status is 413
    And it is an error envelope with the code "INVALID_PARAMS"
    And the message contains "limits.body_mb"

  @ORCH-ERR-6
  Scenario: HEAD is GET without the body
    When I HEAD "/health"
    Then the status is 200
    And the body is empty
