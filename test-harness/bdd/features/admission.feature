Feature: Admission
  A task that can be served goes into the queue at once and is told where it stands. One that never can be is
  refused before it, and the message names the field.

  Background:
    Given a daemon

  @ORCH-TASK-1 @ORCH-TASK-12
  Scenario: A task is told its place and its predicted start
    When I submit the task "a" with
      """
      {"prompt": "One, two,", "max_tokens": 4, "sampling": {"temperature": 0}}
      """
    Then the status is 202
    And the body has exactly the keys "task_id, queue_position, predicted_start_ms, backoff_ms"
    And the field "queue_position" is 0
    And the field "backoff_ms" is 0
    And "a" ends with "length"
    And "a" has 4 tokens
